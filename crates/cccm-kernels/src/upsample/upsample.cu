// Nearest-neighbour upsampling by two of images (batch, height, width, channels), V channels a thread.

template <class T, int V> __device__ void up(const T *x, T *y, size_t count, int w, int vectors) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Vector<T, V> *from = reinterpret_cast<const Vector<T, V> *>(x);
  Vector<T, V> *to = reinterpret_cast<Vector<T, V> *>(y), v = from[i];
  size_t pixel = i / vectors, row = pixel / w;
  // The first of the four: twice as many rows, each twice as long.
  size_t at = (2 * row * 2 * w + 2 * (pixel - row * w)) * vectors + i % vectors;
  to[at] = to[at + vectors] = v;
  at += (size_t)2 * w * vectors;
  to[at] = to[at + vectors] = v;
}

template <class T, int V> __device__ void up_grad(const T *dy, T *dx, size_t count, int w, int vectors) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size_t pixel = i / vectors, row = pixel / w, line = (size_t)2 * w * vectors;
  size_t at = (2 * row * 2 * w + 2 * (pixel - row * w)) * vectors + i % vectors;
  float a[V], b[V], c[V], d[V];
  load<T, V>(dy + at * V, a);
  load<T, V>(dy + (at + vectors) * V, b);
  load<T, V>(dy + (at + line) * V, c);
  load<T, V>(dy + (at + line + vectors) * V, d);
  for (int k = 0; k < V; k++) a[k] += b[k] + c[k] + d[k];
  store<T, V>(a, dx + i * V);
}

#define FOR(T, V, suffix)                                                                                        \
  extern "C" __global__ void up_##suffix(const T *x, T *y, size_t count, int w, int vectors) {                   \
    up<T, V>(x, y, count, w, vectors);                                                                           \
  }                                                                                                              \
  extern "C" __global__ void up_grad_##suffix(const T *dy, T *dx, size_t count, int w, int vectors) {            \
    up_grad<T, V>(dy, dx, count, w, vectors);                                                                    \
  }
FOR(float, 1, f32_1)
FOR(float, 4, f32_4)
FOR(bf16, 1, bf16_1)
FOR(bf16, 8, bf16_8)
