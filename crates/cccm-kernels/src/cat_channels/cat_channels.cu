// Some channels of each pixel, from images that have more of them or to such images. Rows are pixels, counted in vectors of
// V channels.
template <class T, int V>
__device__ void copy_channels(const T *from, T *to, size_t count, int vectors, int from_row, int to_row) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  size_t row = i / vectors, at = i - row * vectors;
  reinterpret_cast<Vector<T, V> *>(to)[row * to_row + at] =
      reinterpret_cast<const Vector<T, V> *>(from)[row * from_row + at];
}

#define FOR(T, V, suffix)                                                                                             \
  extern "C" __global__ void copy_channels_##suffix(const T *from, T *to, size_t count, int vectors, int from_row,    \
                                                    int to_row) {                                                     \
    copy_channels<T, V>(from, to, count, vectors, from_row, to_row);                                                  \
  }
FOR(float, 1, f32_1)
FOR(float, 4, f32_4)
FOR(bf16, 1, bf16_1)
FOR(bf16, 8, bf16_8)
