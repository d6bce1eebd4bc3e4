// What every kernel of this crate begins with. NVRTC compiles it together with one source, and needs no header: bf16
// numbers are their bits.

struct bf16 {
  unsigned short bits;
};

__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float to_float(bf16 v) { return __uint_as_float((unsigned)v.bits << 16); }

__device__ __forceinline__ void round_to(float v, float &to) { to = v; }
__device__ __forceinline__ void round_to(float v, bf16 &to) {
  // To the nearest, ties to even; a NaN stays one.
  unsigned u = __float_as_uint(v);
  to.bits = v != v ? 0x7fff : (unsigned short)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

// V values that are read and written at once.
template <class T, int V> struct alignas(sizeof(T) * V) Vector {
  T at[V];
};

template <class T, int V> __device__ __forceinline__ void load(const T *from, float (&to)[V]) {
  Vector<T, V> v = *reinterpret_cast<const Vector<T, V> *>(from);
  for (int i = 0; i < V; i++) to[i] = to_float(v.at[i]);
}

template <class T, int V> __device__ __forceinline__ void store(const float (&from)[V], T *to) {
  Vector<T, V> v;
  for (int i = 0; i < V; i++) round_to(from[i], v.at[i]);
  *reinterpret_cast<Vector<T, V> *>(to) = v;
}

// Images (batch, pixels, channels), of which a block has one sample, some of its channels and a chunk of its pixels. A
// thread has V channels, and of the pixels every blockDim.y-th.
struct Images {
  size_t pixels;
  int channels;
  int chunk;
};

struct Place {
  size_t sample;
  int channel;
  bool inside;
  size_t first, end;
};

template <int V> __device__ __forceinline__ Place place(const Images &images) {
  Place p;
  p.sample = blockIdx.y;
  p.channel = (int)(blockIdx.z * blockDim.x + threadIdx.x) * V;
  p.inside = p.channel < images.channels;
  size_t start = (size_t)blockIdx.x * images.chunk;
  size_t end = start + images.chunk;
  p.end = end < images.pixels ? end : images.pixels;
  p.first = p.inside ? start + threadIdx.y : p.end;
  return p;
}

// Where a pixel's channels are.
__device__ __forceinline__ size_t at(const Images &images, const Place &p, size_t pixel) {
  return (p.sample * images.pixels + pixel) * images.channels + p.channel;
}

// Threads of a block.
#define THREADS 256

// Adds up N numbers per thread over threadIdx.y, whose range is a power of two; the sums are those of its row 0.
template <int N> __device__ __forceinline__ void sum_over_rows(float (&values)[N]) {
  __shared__ float shared[N][THREADS];
  int at = threadIdx.y * blockDim.x + threadIdx.x;
  for (int i = 0; i < N; i++) shared[i][at] = values[i];
  for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.y < half)
      for (int i = 0; i < N; i++) shared[i][at] += shared[i][at + half * blockDim.x];
  }
  __syncthreads();
  for (int i = 0; i < N; i++) values[i] = shared[i][at];
}

// Writes the sums of a chunk, N / V kinds of them for each channel, once they are added up over threadIdx.y:
// (batch, chunks, N / V, channels).
template <int V, int N>
__device__ __forceinline__ void write_sums(float (&sums)[N], float *to, const Images &images, const Place &p) {
  sum_over_rows(sums);
  if (threadIdx.y != 0 || !p.inside) return;
  to += (p.sample * gridDim.x + blockIdx.x) * (N / V) * images.channels + p.channel;
  for (int i = 0; i < N; i++) to[i / V * images.channels + i % V] = sums[i];
}

// Sums over the chunks: (rows, chunks, columns) to (rows, columns). The threads of a column share the chunks.
__device__ __forceinline__ void add_chunks(const float *partial, float *out, int columns, int chunks) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  float sum[1] = {};
  if (column < columns)
    for (int k = threadIdx.y; k < chunks; k += blockDim.y)
      sum[0] += partial[((size_t)blockIdx.y * chunks + k) * columns + column];
  sum_over_rows(sum);
  if (threadIdx.y == 0 && column < columns) out[(size_t)blockIdx.y * columns + column] = sum[0];
}
