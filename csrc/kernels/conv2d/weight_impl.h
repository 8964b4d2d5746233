// G along both axes, in the memory of one thread: weights that are read as 9 taps and multiplied as
// up to
// 64. Included inside the namespace of one instruction set.

constexpr int kUpWeights = -1, kDownWeights = -2;  // beside the M of F(M x M)

template <int Kind>
constexpr int kWeights = Kind == kUpWeights     ? 4
                         : Kind == kDownWeights ? 5
                                                : Kind + 2;

// G of a line of 3 taps.
template <int Kind>
inline void transform_weight_line(const Vec (&t)[3], Vec (&r)[kWeights<Kind>]) {
  if constexpr (Kind == kUpWeights) {
    r[0] = t[0];
    r[1] = t[0] + t[2];
    r[2] = t[2];
    r[3] = t[1];
  } else if constexpr (Kind == kDownWeights) {
    r[0] = t[0];
    r[1] = t[1];
    r[2] = t[0] + t[2];
    r[3] = t[2];
    r[4] = t[1];
  } else {
    constexpr const ToomTable<Kind>& table = kToom<Kind>;
    r[0] = vset(static_cast<float>(table.g[0][0])) * t[0];
    r[Kind + 1] = t[2];
#pragma GCC unroll 4
    for (int j = 0; j < Kind / 2; ++j) {
      const double* g = table.g[1 + 2 * j];
      const Vec even =
          vfma(vset(static_cast<float>(g[2])), t[2], vset(static_cast<float>(g[0])) * t[0]);
      const Vec odd = vset(static_cast<float>(g[1]));
      r[1 + 2 * j] = vfma(odd, t[1], even);
      r[2 + 2 * j] = vfnma(odd, t[1], even);
    }
  }
}

// One row of G along y of 16 or fewer lanes of one input channel.
template <int Kind, class Tap>
inline void transform_weight(const Tap* taps, const Vec (&g)[3], Vec (&r)[kWeights<Kind>]) {
  Vec line[3];
#pragma GCC unroll 3
  for (int x = 0; x < 3; ++x) {
    line[x] = g[0] * vload(taps + x * kBlock);
    line[x] = vfma(g[1], vload(taps + (3 + x) * kBlock), line[x]);
    line[x] = vfma(g[2], vload(taps + (6 + x) * kBlock), line[x]);
  }
  transform_weight_line<Kind>(line, r);
}

template <int Kind, bool Pairs, class Tap = float>
void transform_weights(const WeightArgs& args) {
  constexpr int kCount = kWeights<Kind>;
  for (int i = 0; i < args.count; ++i) {
    const Vec g[3] = {vset(args.g[i][0]), vset(args.g[i][1]), vset(args.g[i][2])};
    const Tap* taps = static_cast<const Tap*>(args.taps);
    for (int64_t k = 0; k < args.inputs; k += Pairs ? 2 : 1, taps += (Pairs ? 18 : 9) * kBlock) {
      const int64_t at = (Pairs ? k / 2 : k) * kBlock;
      for (int lane = 0; lane < kBlock; lane += kWidth) {
        Vec r[kCount];
        transform_weight<Kind>(taps + lane, g, r);
        if constexpr (Pairs) {
          Vec next[kCount];
          transform_weight<Kind>(taps + 9 * kBlock + lane, g, next);
#pragma GCC unroll 8
          for (int j = 0; j < kCount; ++j)
            pairs_store(args.u[i][j] + at + lane, vpairs(r[j], next[j]));
        } else {
#pragma GCC unroll 8
          for (int j = 0; j < kCount; ++j)
            vstore(reinterpret_cast<float*>(args.u[i][j]) + at + lane, r[j]);
        }
      }
    }
  }
}
