// Small network of ReLU layers without biases, on a CPU.
//
// A block of points passes through all layers while it is in the first-level cache: intermediate values are never
// written to memory, and are recomputed for the gradients. Per-point arrays are feature-major, "I N"; the weights of
// all layers are concatenated, each "out in".
//
// Without biases a layer is linear where no unit changes sign, and the derivative along a tangent is given by the same
// layers with the signs at the point, which is all that second derivatives need.

#include <cstring>
#include <vector>

#include "lanes.h"
#include "parallel.h"

namespace {

using namespace bozzetto;

constexpr int kBlock = 64;            // points that pass through the layers together
constexpr int kSteps = kBlock / kLanes;
constexpr int kTile = 4;              // units of a layer computed together
#if defined(__AVX512F__)
constexpr int kStrip = kSteps;        // lanes of points computed together, limited by the registers
#else
constexpr int kStrip = 1;
#endif
constexpr int64_t kPiece = 4096;      // points whose weight gradients are summed by one thread, in order
constexpr int kMostWidth = 128;       // maximum layer width; must match mlp.py, like kPiece

struct Network {
    const int64_t* widths;  // `layers` + 1
    int64_t layers;
    const float* weights;

    int in(int64_t layer) const { return static_cast<int>(widths[layer]); }
    int out(int64_t layer) const { return static_cast<int>(widths[layer + 1]); }
    int64_t start(int64_t layer) const {
        int64_t sum = 0;
        for (int64_t l = 0; l < layer; ++l) sum += widths[l] * widths[l + 1];
        return sum;
    }
    const float* matrix(int64_t layer) const { return weights + start(layer); }
};

using Row = float[kBlock];

// Computes `units` units, starting at lane `low`: sums over k of weights[unit * by_unit + k * by_input] * from[k].
template <int units>
inline void tile(const float* weights, int by_unit, int by_input, int inputs, const Row* from, int low,
                 Lanes (&sum)[units][kStrip]) {
    for (int u = 0; u < units; ++u)
        for (int s = 0; s < kStrip; ++s) sum[u][s] = Lanes::zero();
    for (int k = 0; k < inputs; ++k) {
        Lanes x[kStrip];
        for (int s = 0; s < kStrip; ++s) x[s] = Lanes::load(from[k] + low + s * kLanes);
        for (int u = 0; u < units; ++u) {
            const Lanes w = Lanes::all(weights[u * by_unit + k * by_input]);
            for (int s = 0; s < kStrip; ++s) sum[u][s].add_product(w, x[s]);
        }
    }
}

// Storage of the result of a product.
enum class Then { kNothing, kPositivePart, kWherePositive };

template <int units, Then then>
inline void product_tile(const float* weights, int by_unit, int by_input, int inputs, const Row* from,
                         const Row* gate, Row* to) {
    for (int low = 0; low < kBlock; low += kStrip * kLanes) {
        Lanes sum[units][kStrip];
        tile<units>(weights, by_unit, by_input, inputs, from, low, sum);
        for (int u = 0; u < units; ++u) {
            for (int s = 0; s < kStrip; ++s) {
                const int at = low + s * kLanes;
                Lanes result = sum[u][s];
                if (then == Then::kPositivePart) result = result.positive_part();
                if (then == Then::kWherePositive) result = result.where_positive(Lanes::load(gate[u] + at));
                result.store(to[u] + at);
            }
        }
    }
}

// to[u] = sum over k of weights[u * by_unit + k * by_input] * from[k]; `gate` has a row per row of `to`; if unused, it
// is `to`.
template <Then then>
void product(const float* weights, int by_unit, int by_input, int units, int inputs, const Row* from, const Row* gate,
             Row* to) {
    int u = 0;
    for (; u + kTile <= units; u += kTile)
        product_tile<kTile, then>(weights + u * by_unit, by_unit, by_input, inputs, from, gate + u, to + u);
    for (; u < units; ++u)
        product_tile<1, then>(weights + u * by_unit, by_unit, by_input, inputs, from, gate + u, to + u);
}

template <int units, int inputs>
inline void outer_tile(const Row* grad, const Row* from, int stride, float* sums) {
    Lanes kept[units][inputs];
    for (int u = 0; u < units; ++u)
        for (int k = 0; k < inputs; ++k) kept[u][k] = Lanes::load(sums + (u * stride + k) * kLanes);
    for (int at = 0; at < kBlock; at += kLanes) {
        for (int u = 0; u < units; ++u) {
            const Lanes g = Lanes::load(grad[u] + at);
            for (int k = 0; k < inputs; ++k) kept[u][k].add_product(g, Lanes::load(from[k] + at));
        }
    }
    for (int u = 0; u < units; ++u)
        for (int k = 0; k < inputs; ++k) kept[u][k].store(sums + (u * stride + k) * kLanes);
}

// sums[u][k] (a Lanes each) += grad[u] * from[k]
void outer(const Row* grad, int units, const Row* from, int inputs, float* sums) {
    for (int u = 0; u < units; u += kTile) {
        for (int k = 0; k < inputs; k += kTile) {
            float* at = sums + (u * inputs + k) * kLanes;
            if (units - u >= kTile && inputs - k >= kTile) {
                outer_tile<kTile, kTile>(grad + u, from + k, inputs, at);
                continue;
            }
            for (int v = u; v < units && v < u + kTile; ++v)
                for (int j = k; j < inputs && j < k + kTile; ++j)
                    outer_tile<1, 1>(grad + v, from + j, inputs, sums + (v * inputs + j) * kLanes);
        }
    }
}

// Rows of one block: the input of each layer, at the point and along the tangent, and the gradients.
class Block {
public:
    explicit Block(const Network& network, bool tangent, bool gradients) : network_(network) {
        int64_t rows = 0;
        for (int64_t l = 0; l <= network.layers; ++l) rows += network.widths[l];
        const int64_t spare = gradients ? 2 * kMostWidth : 0;
        memory_.resize(static_cast<size_t>((rows * (tangent ? 2 : 1) + spare) * kBlock));
        values_ = reinterpret_cast<Row*>(memory_.data());
        tangents_ = tangent ? values_ + rows : nullptr;
        spare_ = values_ + rows * (tangent ? 2 : 1);
    }

    Row* value(int64_t layer) { return values_ + row(layer); }
    Row* tangent(int64_t layer) { return tangents_ + row(layer); }
    Row* spare(int64_t which) { return spare_ + which * kMostWidth; }

    // Forward through all layers; without the last one if only gradients are needed.
    void forward(int64_t layers) {
        for (int64_t l = 0; l < layers; ++l) {
            const int in = network_.in(l), out = network_.out(l);
            if (l + 1 < network_.layers) {
                product<Then::kPositivePart>(network_.matrix(l), in, 1, out, in, value(l), value(l + 1), value(l + 1));
                if (tangents_)
                    product<Then::kWherePositive>(network_.matrix(l), in, 1, out, in, tangent(l), value(l + 1), tangent(l + 1));
            } else if (tangents_) {
                product<Then::kNothing>(network_.matrix(l), in, 1, out, in, tangent(l), tangent(l + 1), tangent(l + 1));
            } else {
                product<Then::kNothing>(network_.matrix(l), in, 1, out, in, value(l), value(l + 1), value(l + 1));
            }
        }
    }

    // Backward from the gradient of the output, in spare(0); returns that of the input. `sums` may be null.
    Row* backward(float* sums, bool to_input) {
        Row* grad = spare(0);
        for (int64_t l = network_.layers - 1; l >= 0; --l) {
            const int in = network_.in(l), out = network_.out(l);
            if (sums) outer(grad, out, tangents_ ? tangent(l) : value(l), in, sums + network_.start(l) * kLanes);
            if (l == 0 && !to_input) break;
            Row* next = grad == spare(0) ? spare(1) : spare(0);
            if (l > 0) {
                product<Then::kWherePositive>(network_.matrix(l), 1, in, in, out, grad, value(l), next);
            } else {
                product<Then::kNothing>(network_.matrix(l), 1, in, in, out, grad, next, next);
            }
            grad = next;
        }
        return grad;
    }

private:
    int64_t row(int64_t layer) const {
        int64_t sum = 0;
        for (int64_t l = 0; l < layer; ++l) sum += network_.widths[l];
        return sum;
    }

    const Network& network_;
    std::vector<float> memory_;
    Row *values_, *tangents_, *spare_;
};

// Loads points `first` to `first + count` of `rows` rows, padded with zeros.
void load(const float* from, int64_t n, int64_t first, int count, int64_t rows, Row* to) {
    for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(to[r], from + r * n + first, sizeof(float) * count);
        if (count < kBlock) std::memset(to[r] + count, 0, sizeof(float) * (kBlock - count));
    }
}

void save(const Row* from, int64_t rows, int64_t n, int64_t first, int count, float* to) {
    for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * n + first, from[r], sizeof(float) * count);
}

int block_size(int64_t first, int64_t end) { return static_cast<int>(end - first < kBlock ? end - first : kBlock); }

}  // namespace

// out "O N": the network's output, or with a tangent "I N", its derivative along it.
BOZZETTO_EXPORT int32_t bozzetto_mlp(ParallelFor pool, int64_t layers, const int64_t* widths, int64_t n, const float* x,
                                     const float* tangent, const float* weights, float* out) {
    const Network network{widths, layers, weights};
    return parallel_pieces(pool, n, kPiece, [=, &network](int64_t begin, int64_t end) {
        Block block(network, tangent != nullptr, false);
        for (int64_t first = begin; first < end; first += kBlock) {
            const int count = block_size(first, end);
            load(x, n, first, count, widths[0], block.value(0));
            if (tangent) load(tangent, n, first, count, widths[0], block.tangent(0));
            block.forward(layers);
            save(tangent ? block.tangent(layers) : block.value(layers), widths[layers], n, first, count, out);
        }
    });
}

// out "N": output of a network with one output; slope "I N": its gradient with respect to the input.
BOZZETTO_EXPORT int32_t bozzetto_mlp_slope(ParallelFor pool, int64_t layers, const int64_t* widths, int64_t n,
                                           const float* x, const float* weights, float* out, float* slope) {
    const Network network{widths, layers, weights};
    return parallel_pieces(pool, n, kPiece, [=, &network](int64_t begin, int64_t end) {
        Block block(network, false, true);
        for (int64_t first = begin; first < end; first += kBlock) {
            const int count = block_size(first, end);
            load(x, n, first, count, widths[0], block.value(0));
            block.forward(layers);
            save(block.value(layers), 1, n, first, count, out);
            for (float& grad : *block.spare(0)) grad = 1.0f;
            save(block.backward(nullptr, true), widths[0], n, first, count, slope);
        }
    });
}

// Gradients of grad "O N" to the input ("I N") and to the weights; either may be null. With a tangent, the gradient to
// the weights is that of the derivative along it; the gradient to the input is unchanged. `scratch` holds one copy of
// the weights per piece of the points.
BOZZETTO_EXPORT int32_t bozzetto_mlp_backward(ParallelFor pool, int64_t layers, const int64_t* widths, int64_t n,
                                              const float* x, const float* tangent, const float* weights,
                                              const float* grad, float* grad_x, float* grad_weights, float* scratch) {
    const Network network{widths, layers, weights};
    const int64_t size = network.start(layers), pieces = (n + kPiece - 1) / kPiece;
    const int32_t code = parallel_pieces(pool, n, kPiece, [=, &network](int64_t begin, int64_t end) {
        Block block(network, tangent != nullptr, true);
        std::vector<float> sums(static_cast<size_t>(grad_weights ? size * kLanes : 0));
        for (int64_t first = begin; first < end; first += kBlock) {
            const int count = block_size(first, end);
            load(x, n, first, count, widths[0], block.value(0));
            if (tangent) load(tangent, n, first, count, widths[0], block.tangent(0));
            load(grad, n, first, count, widths[layers], block.spare(0));
            block.forward(layers - 1);
            const Row* to_input = block.backward(grad_weights ? sums.data() : nullptr, grad_x != nullptr);
            if (grad_x) save(to_input, widths[0], n, first, count, grad_x);
        }
        for (int64_t i = 0; grad_weights && i < size; ++i) {
            float* lanes = sums.data() + i * kLanes;
            for (int half = kLanes / 2; half > 0; half /= 2)
                for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
            scratch[begin / kPiece * size + i] = lanes[0];
        }
    });
    if (code != 0 || !grad_weights) return code;
    for (int64_t i = 0; i < size; ++i) {
        double sum = 0.0;
        for (int64_t piece = 0; piece < pieces; ++piece) sum += scratch[piece * size + i];
        grad_weights[i] = static_cast<float>(sum);
    }
    return 0;
}
