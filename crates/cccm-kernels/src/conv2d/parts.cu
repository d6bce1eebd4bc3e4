// What a convolution needs around the library that computes it: biases, their gradients, and values in another order.

// y (batch, pixels, channels) += bias, (channels,) with stride 0 or (batch, channels) with stride channels.
template <class T, int V> __device__ void add_bias(T *y, const float *bias, Images images, int stride) {
  Place p = place<V>(images);
  float b[V] = {};
  for (int i = 0; i < V && p.inside; i++) b[i] = bias[p.sample * stride + p.channel + i];
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V];
    load<T, V>(y + at(images, p, pixel), v);
    for (int i = 0; i < V; i++) v[i] += b[i];
    store<T, V>(v, y + at(images, p, pixel));
  }
}

// Sums over the pixels of each chunk. partial: (batch, chunks, channels)
template <class T, int V> __device__ void channel_sums(const T *x, float *partial, Images images) {
  Place p = place<V>(images);
  float sum[V] = {};
  for (size_t pixel = p.first; pixel < p.end; pixel += blockDim.y) {
    float v[V];
    load<T, V>(x + at(images, p, pixel), v);
    for (int i = 0; i < V; i++) sum[i] += v[i];
  }
  write_sums<V>(sum, partial, images, p);
}

#define FOR(T, V, suffix)                                                                                             \
  extern "C" __global__ void add_bias_##suffix(T *y, const float *bias, size_t pixels, int channels, int chunk,       \
                                               int stride) {                                                          \
    add_bias<T, V>(y, bias, {pixels, channels, chunk}, stride);                                                       \
  }                                                                                                                   \
  extern "C" __global__ void channel_sums_##suffix(const T *x, float *partial, size_t pixels, int channels,           \
                                                   int chunk) {                                                       \
    channel_sums<T, V>(x, partial, {pixels, channels, chunk});                                                        \
  }
FOR(float, 1, f32_1)
FOR(float, 4, f32_4)
FOR(bf16, 1, bf16_1)
FOR(bf16, 8, bf16_8)

extern "C" __global__ void chunk_sums(const float *partial, float *out, int channels, int chunks) {
  add_chunks(partial, out, channels, chunks);
}

// (count, rows, columns) to (count, columns, rows), a thread per number: for few rows or columns, of which a tile would be
// mostly empty.
template <class A, class B> __device__ void reorder(const A *x, B *y, size_t count, int rows, int columns) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count * rows * columns) return;
  size_t rest = i / rows, row = i - rest * rows, matrix = rest / columns, column = rest - matrix * columns;
  round_to(to_float(x[(matrix * rows + row) * columns + column]), y[i]);
}

#define TILE 32

// (count, rows, columns) to (count, columns, rows), a tile of 32x32 at a time.
template <class A, class B> __device__ void transpose(const A *x, B *y, size_t count, int rows, int columns) {
  __shared__ float tile[TILE][TILE + 1];
  int first_column = blockIdx.x * TILE;
  for (size_t matrix = blockIdx.z; matrix < count; matrix += gridDim.z) {
    size_t base = matrix * rows * columns;
    for (int first_row = blockIdx.y * TILE; first_row < rows; first_row += gridDim.y * TILE) {
      int column = first_column + threadIdx.x;
      for (int i = threadIdx.y; i < TILE; i += blockDim.y)
        if (first_row + i < rows && column < columns)
          tile[i][threadIdx.x] = to_float(x[base + (size_t)(first_row + i) * columns + column]);
      __syncthreads();
      int row = first_row + threadIdx.x;
      for (int i = threadIdx.y; i < TILE; i += blockDim.y)
        if (first_column + i < columns && row < rows)
          round_to(tile[threadIdx.x][i], y[base + (size_t)(first_column + i) * rows + row]);
      __syncthreads();
    }
  }
}

#define BETWEEN(A, B, suffix)                                                                                         \
  extern "C" __global__ void transpose_##suffix(const A *x, B *y, size_t count, int rows, int columns) {              \
    transpose(x, y, count, rows, columns);                                                                            \
  }                                                                                                                   \
  extern "C" __global__ void reorder_##suffix(const A *x, B *y, size_t count, int rows, int columns) {                \
    reorder(x, y, count, rows, columns);                                                                              \
  }
BETWEEN(float, float, f32_f32)
BETWEEN(float, bf16, f32_bf16)
BETWEEN(bf16, float, bf16_f32)
BETWEEN(bf16, bf16, bf16_bf16)
