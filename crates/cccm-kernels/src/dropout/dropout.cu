// Dropout of images (batch, pixels, channels), whose masks are the streams of ChaCha8 under a key per sample: two values from
// each word, lower half first, over the pixels of a channel and then the next channel. A thread has a block of the stream,
// 16 words for 32 values.

#define VALUES 32

__device__ __forceinline__ unsigned turned_left(unsigned v, int by) { return v << by | v >> (32 - by); }

__device__ __forceinline__ void quarter_round(unsigned &a, unsigned &b, unsigned &c, unsigned &d) {
  a += b;
  d = turned_left(d ^ a, 16);
  c += d;
  b = turned_left(b ^ c, 12);
  a += b;
  d = turned_left(d ^ a, 8);
  c += d;
  b = turned_left(b ^ c, 7);
}

// The block of this number, counted from 0 (Bernstein 2008, with 8 rounds; a counter of 64 bits and no nonce).
__device__ __forceinline__ void chacha8(const unsigned *key, size_t number, unsigned (&out)[16]) {
  unsigned start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1], key[2], key[3],
                        key[4],     key[5],     key[6],     key[7],     (unsigned)number, (unsigned)(number >> 32), 0, 0};
  for (int i = 0; i < 16; i++) out[i] = start[i];
  for (int round = 0; round < 8; round += 2) {
    quarter_round(out[0], out[4], out[8], out[12]);
    quarter_round(out[1], out[5], out[9], out[13]);
    quarter_round(out[2], out[6], out[10], out[14]);
    quarter_round(out[3], out[7], out[11], out[15]);
    quarter_round(out[0], out[5], out[10], out[15]);
    quarter_round(out[1], out[6], out[11], out[12]);
    quarter_round(out[2], out[7], out[8], out[13]);
    quarter_round(out[3], out[4], out[9], out[14]);
  }
  for (int i = 0; i < 16; i++) out[i] += start[i];
}

template <class T>
__device__ void dropout(const T *x, T *y, const unsigned *keys, size_t pixels, int channels, size_t blocks, int threshold,
                        float keep) {
  size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= blocks) return;
  // Neighbouring threads have neighbouring channels where blocks and channels fit, as those lie side by side.
  size_t number = pixels % VALUES == 0 ? i % channels * (pixels / VALUES) + i / channels : i;
  unsigned words[16];
  chacha8(keys + 8 * blockIdx.y, number, words);
  size_t channel = number * VALUES / pixels, pixel = number * VALUES - channel * pixels;
  size_t sample = (size_t)blockIdx.y * pixels * channels;
  for (int k = 0; k < VALUES && channel < channels; k++) {
    unsigned bits = words[k / 2] >> (16 * (k % 2)) & 0xffff;
    size_t at = sample + pixel * channels + channel;
    round_to(bits < threshold ? 0.f : to_float(x[at]) * keep, y[at]);
    if (++pixel == pixels) {
      pixel = 0;
      channel++;
    }
  }
}

#define FOR(T, suffix)                                                                                                \
  extern "C" __global__ void dropout_##suffix(const T *x, T *y, const unsigned *keys, size_t pixels, int channels,    \
                                              size_t blocks, int threshold, float keep) {                             \
    dropout(x, y, keys, pixels, channels, blocks, threshold, keep);                                                   \
  }
FOR(float, f32)
FOR(bf16, bf16)
