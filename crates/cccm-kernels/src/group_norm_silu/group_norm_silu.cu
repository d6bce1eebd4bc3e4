// SiLU(GroupNorm(x)) of images (batch, pixels, channels), forward and backward.

__device__ __forceinline__ float sigmoid(float z) { return __fdividef(1.f, 1.f + __expf(-z)); }

// Per chunk and channel, the sums of x - shift and of its square, where the shift is the sample's first pixel: far from
// zero, plain squares would cancel. partial: (batch, chunks, 2, channels)
template <class T, int V> __device__ void sums(const T *x, float *partial, Images images) {
  Place p = place<V>(images);
  float shift[V] = {}, sum[2 * V] = {};
  if (p.inside) load<T, V>(x + at(images, p, 0), shift);
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V];
    load<T, V>(x + at(images, p, pixel), v);
    for (int i = 0; i < V; i++) {
      float d = v[i] - shift[i];
      sum[i] += d;
      sum[V + i] += d * d;
    }
  }
  write_sums<V>(sum, partial, images, p);
}

// Count, mean and sum of squared deviations of some numbers.
struct Moments {
  float n, mean, square;
};

__device__ __forceinline__ Moments together(Moments a, Moments b) {
  float n = a.n + b.n, d = b.mean - a.mean, share = n > 0.f ? b.n / n : 0.f;
  Moments m = {n, a.mean + d * share, a.square + b.square + d * d * a.n * share};
  return m;
}

// Mean and 1 / sqrt(variance + eps) of each group: (batch, groups, 2). A block is one group of one sample.
template <class T>
__device__ void moments(const T *x, const float *partial, float *out, Images images, int groups, int chunks, float eps) {
  __shared__ Moments shared[THREADS];
  size_t sample = blockIdx.y;
  int per_group = images.channels / groups, at = threadIdx.x;
  Moments sum = {0.f, 0.f, 0.f};
  for (int i = threadIdx.x; i < per_group * chunks; i += blockDim.x) {
    int k = i / per_group, channel = blockIdx.x * per_group + i - k * per_group;
    const float *from = partial + (sample * chunks + k) * 2 * images.channels + channel;
    size_t rest = images.pixels - (size_t)k * images.chunk;
    float n = rest < images.chunk ? (float)rest : (float)images.chunk;
    float d = from[0] / n, square = from[images.channels] - from[0] * d;
    float shift = to_float(x[sample * images.pixels * images.channels + channel]);
    Moments m = {n, shift + d, square > 0.f ? square : 0.f};
    sum = together(sum, m);
  }
  shared[at] = sum;
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[at] = together(shared[at], shared[at + half]);
  }
  if (threadIdx.x != 0) return;
  float *to = out + (sample * groups + blockIdx.x) * 2;
  to[0] = shared[0].mean;
  to[1] = rsqrtf(shared[0].square / shared[0].n + eps);
}

// What normalising a thread's channels takes.
template <int V> struct Norm {
  float mean[V], rstd[V], weight[V], bias[V];
};

template <int V>
__device__ __forceinline__ Norm<V> norm(const Images &images, const Place &p, const float *weight, const float *bias,
                                        const float *moments, int groups) {
  Norm<V> norm;
  int per_group = images.channels / groups;
  for (int i = 0; i < V && p.inside; i++) {
    const float *of = moments + (p.sample * groups + (p.channel + i) / per_group) * 2;
    norm.mean[i] = of[0];
    norm.rstd[i] = of[1];
    norm.weight[i] = weight[p.channel + i];
    norm.bias[i] = bias[p.channel + i];
  }
  return norm;
}

template <class T, int V>
__device__ void apply(const T *x, const float *weight, const float *bias, const float *moments, T *y, Images images,
                      int groups) {
  Place p = place<V>(images);
  Norm<V> n = norm<V>(images, p, weight, bias, moments, groups);
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V];
    load<T, V>(x + at(images, p, pixel), v);
    for (int i = 0; i < V; i++) {
      float z = (v[i] - n.mean[i]) * n.rstd[i] * n.weight[i] + n.bias[i];
      v[i] = z * sigmoid(z);
    }
    store<T, V>(v, y + at(images, p, pixel));
  }
}

// The normalised value, and the gradient in front of SiLU.
template <int V>
__device__ __forceinline__ void before_silu(const Norm<V> &n, int i, float x, float dy, float &normed, float &dz) {
  normed = (x - n.mean[i]) * n.rstd[i];
  float z = normed * n.weight[i] + n.bias[i], s = sigmoid(z);
  dz = dy * s * (1.f + z * (1.f - s));
}

// Per chunk and channel, the sums of dz and of dz times the normalised value. partial: (batch, chunks, 2, channels)
template <class T, int V>
__device__ void grad_sums(const T *x, const T *dy, const float *weight, const float *bias, const float *moments,
                          float *partial, Images images, int groups) {
  Place p = place<V>(images);
  Norm<V> n = norm<V>(images, p, weight, bias, moments, groups);
  float sum[2 * V] = {};
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V], d[V];
    load<T, V>(x + at(images, p, pixel), v);
    load<T, V>(dy + at(images, p, pixel), d);
    for (int i = 0; i < V; i++) {
      float normed, dz;
      before_silu(n, i, v[i], d[i], normed, dz);
      sum[i] += dz;
      sum[V + i] += dz * normed;
    }
  }
  write_sums<V>(sum, partial, images, p);
}

// Both sums of each channel (batch, 2, channels), weighted over each group and divided by the number of its values:
// (batch, groups, 2). A block is one group of one sample.
__device__ void group_means(const float *per_channel, const float *weight, float *out, Images images, int groups) {
  __shared__ float shared[2][THREADS];
  size_t sample = blockIdx.y;
  int per_group = images.channels / groups, at = threadIdx.x;
  float sums[2] = {};
  for (int i = threadIdx.x; i < per_group; i += blockDim.x) {
    int channel = blockIdx.x * per_group + i;
    for (int which = 0; which < 2; which++)
      sums[which] += weight[channel] * per_channel[(sample * 2 + which) * images.channels + channel];
  }
  shared[0][at] = sums[0];
  shared[1][at] = sums[1];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      shared[0][at] += shared[0][at + half];
      shared[1][at] += shared[1][at + half];
    }
  }
  if (threadIdx.x != 0) return;
  float count = (float)images.pixels * per_group;
  out[(sample * groups + blockIdx.x) * 2] = shared[0][0] / count;
  out[(sample * groups + blockIdx.x) * 2 + 1] = shared[1][0] / count;
}

// Gradients of weight and bias: the channels' sums over the batch.
__device__ void grad_parameters(const float *per_channel, float *d_weight, float *d_bias, int batch, int channels) {
  int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  float of_bias = 0.f, of_weight = 0.f;
  for (size_t sample = 0; sample < batch; sample++) {
    of_bias += per_channel[sample * 2 * channels + channel];
    of_weight += per_channel[(sample * 2 + 1) * channels + channel];
  }
  d_weight[channel] = of_weight;
  d_bias[channel] = of_bias;
}

template <class T, int V>
__device__ void grad_x(const T *x, const T *dy, const float *weight, const float *bias, const float *moments,
                       const float *group_means, T *dx, Images images, int groups) {
  Place p = place<V>(images);
  Norm<V> n = norm<V>(images, p, weight, bias, moments, groups);
  int per_group = images.channels / groups;
  float mean[V], slope[V];
  for (int i = 0; i < V && p.inside; i++) {
    const float *of = group_means + (p.sample * groups + (p.channel + i) / per_group) * 2;
    mean[i] = of[0];
    slope[i] = of[1];
  }
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V], d[V];
    load<T, V>(x + at(images, p, pixel), v);
    load<T, V>(dy + at(images, p, pixel), d);
    for (int i = 0; i < V; i++) {
      float normed, dz;
      before_silu(n, i, v[i], d[i], normed, dz);
      v[i] = n.rstd[i] * (n.weight[i] * dz - mean[i] - normed * slope[i]);
    }
    store<T, V>(v, dx + at(images, p, pixel));
  }
}

#define FOR(T, V, suffix)                                                                                             \
  extern "C" __global__ void gn_sums_##suffix(const T *x, float *partial, size_t pixels, int channels, int chunk) {   \
    sums<T, V>(x, partial, {pixels, channels, chunk});                                                                \
  }                                                                                                                   \
  extern "C" __global__ void gn_apply_##suffix(const T *x, const float *weight, const float *bias,                    \
                                               const float *moments, T *y, size_t pixels, int channels, int chunk,    \
                                               int groups) {                                                          \
    apply<T, V>(x, weight, bias, moments, y, {pixels, channels, chunk}, groups);                                      \
  }                                                                                                                   \
  extern "C" __global__ void gn_grad_sums_##suffix(const T *x, const T *dy, const float *weight, const float *bias,   \
                                                   const float *moments, float *partial, size_t pixels, int channels, \
                                                   int chunk, int groups) {                                           \
    grad_sums<T, V>(x, dy, weight, bias, moments, partial, {pixels, channels, chunk}, groups);                        \
  }                                                                                                                   \
  extern "C" __global__ void gn_grad_x_##suffix(const T *x, const T *dy, const float *weight, const float *bias,      \
                                                const float *moments, const float *group_means, T *dx, size_t pixels, \
                                                int channels, int chunk, int groups) {                                \
    grad_x<T, V>(x, dy, weight, bias, moments, group_means, dx, {pixels, channels, chunk}, groups);                   \
  }
FOR(float, 1, f32_1)
FOR(float, 4, f32_4)
FOR(bf16, 1, bf16_1)
FOR(bf16, 8, bf16_8)

extern "C" __global__ void gn_moments_f32(const float *x, const float *partial, float *out, size_t pixels, int channels,
                                          int chunk, int groups, int chunks, float eps) {
  moments(x, partial, out, {pixels, channels, chunk}, groups, chunks, eps);
}
extern "C" __global__ void gn_moments_bf16(const bf16 *x, const float *partial, float *out, size_t pixels, int channels,
                                           int chunk, int groups, int chunks, float eps) {
  moments(x, partial, out, {pixels, channels, chunk}, groups, chunks, eps);
}
extern "C" __global__ void gn_chunk_sums(const float *partial, float *out, int columns, int chunks) {
  add_chunks(partial, out, columns, chunks);
}
extern "C" __global__ void gn_group_means(const float *per_channel, const float *weight, float *out, size_t pixels,
                                          int channels, int groups) {
  group_means(per_channel, weight, out, {pixels, channels, 0}, groups);
}
extern "C" __global__ void gn_grad_parameters(const float *per_channel, float *d_weight, float *d_bias, int batch,
                                              int channels) {
  grad_parameters(per_channel, d_weight, d_bias, batch, channels);
}
