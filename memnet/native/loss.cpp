// A readout and a loss of bits or symbols, forward and backward: the end of a training step, of the steps that are scored
// alone.
//
// The definition is torch's linear layer, and its cross-entropy of sigmoids, or of softmaxes, summed over a sequence.

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "numbers.h"
#include "projection.h"

namespace {

// Sizes and tensors, laid out as loss.py fills it in.
template <class Number> struct Problem {
    int64_t batch, time, width, outputs;
    int64_t symbols;                                   // groups of outputs of which one is right each; 0 for bits
    int64_t mean;                                      // whether a sequence's loss is the mean of its answers, not the sum
    const Number *features, *weight, *bias, *target;   // (batch, time, width) and (batch, time, outputs); bias or null
    const bool* scored;                                // (batch, time)
    Number* room;                                      // of the scored steps features and logits, then these' gradients
    double* told;                                      // means of the sequences' losses, and sums; how many steps are scored
    Number *d_features, *d_weight, *d_bias;            // of the mean of the losses; or null
};

template <class Number> class Readout : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::batch, P::time, P::width, P::outputs, P::scored;
    static constexpr int L = lanes<Number>;

    static int64_t whole(int64_t numbers) { return (numbers + L - 1) / L * L; }
    const int64_t seen_room = whole(width), given_room = whole(outputs);
    const int64_t count = scored ? std::count(scored, scored + batch * time, true) : 0;
    Number *const seen = P::room, *const given = seen + batch * time * seen_room;

    Projection<Number> readout(bool backward) const {
        std::vector<Block<Number>> blocks{{0, outputs, 0, width, P::weight, P::d_weight}};
        std::vector<Bias<Number>> biases;
        if (P::bias) biases.push_back({0, outputs, P::bias, P::d_bias});
        return {width, outputs, std::move(blocks), std::move(biases), backward, count > 1};
    }

    // Behind the last number there is nothing.
    static Vec first(Vec value, int64_t n) {
        for (int lane = 0; lane < L; lane++) value[lane] = lane < n ? value[lane] : 0;
        return value;
    }

    // The loss of a step's bits; its logits become their gradient, each by its sequence's share.
    double lose_bits(Number* logits, const Number* target, Number share) const {
        Vec total{};
        in_vectors<Number>(outputs, [&](int64_t at, int64_t n) {
            const Vec x = load(logits + at, n), bit = load(target + at, n);
            const Vec small = exponential(x < 0 ? x : -x);
            total += first((x > 0 ? x : Vec{}) - x * bit + logarithm_above_one(small), n);
            store(logits + at, ((x < 0 ? small : 1 - Vec{}) / (1 + small) - bit) * share, n);
        });
        return sum<Number>(total);
    }

    // The same of one group of its symbols.
    double lose_symbol(int64_t size, Number* logits, const Number* target, Number share) const {
        const Number most = *std::max_element(logits, logits + size);
        Vec all{}, own{}, of_right{};
        in_vectors<Number>(size, [&](int64_t at, int64_t n) {
            const Vec x = load(logits + at, n) - most, right = load(target + at, n), raised = exponential(x);
            all += first(raised, n);
            own += right;
            of_right += first(right * x, n);
            store(logits + at, raised, n);
        });
        const Number whole = sum<Number>(all), right = sum<Number>(own), scale = right / whole;
        in_vectors<Number>(size, [&](int64_t at, int64_t n) {
            store(logits + at, (load(logits + at, n) * scale - load(target + at, n)) * share, n); });
        return std::log(double(whole)) * right - sum<Number>(of_right);
    }

    double lose(Number* logits, const Number* target, Number share) const {
        if (!P::symbols) return lose_bits(logits, target, share);
        double total = 0;
        for (int64_t at = 0, size = outputs / P::symbols; at < outputs; at += size)
            total += lose_symbol(size, logits + at, target + at, share);
        return total;
    }

    void forward() const {
        Number* to = seen;
        for (int64_t at = 0; at < batch * time; at++)
            if (scored[at]) to = std::copy_n(P::features + at * width, width, to) + seen_room - width;
        readout(false).apply(count, seen, seen_room, given, given_room);
        double all = 0, sums = 0;
        Number* logits = given;
        for (int64_t row = 0; row < batch; row++) {
            const bool* own = scored + row * time;
            const int64_t answers = P::mean ? std::count(own, own + time, true) * (P::symbols ? P::symbols : outputs) : 1;
            double total = 0;
            for (int64_t step = 0; step < time; step++) {
                if (!own[step]) continue;
                total += lose(logits, P::target + (row * time + step) * outputs, Number(1) / (batch * answers));
                logits += given_room;
            }
            sums += total;
            if (total != 0) all += total / answers;
        }
        P::told[0] = all / batch;
        P::told[1] = sums / batch;
        P::told[2] = count;
    }

    void backward() const {
        const Projection<Number> all = readout(true);
        all.add_gradients(1, count, given, given_room, {seen, seen_room, 0}, false);
        all.give_gradients();
        all.apply(count, given, given_room, seen, seen_room);
        const Number* from = seen;
        for (int64_t at = 0; at < batch * time; at++) {
            Number* to = P::d_features + at * width;
            if (!scored[at]) std::fill_n(to, width, Number(0));
            else std::copy_n(from, width, to), from += seen_room;
        }
    }

public:
    explicit Readout(const Problem<Number>& problem) : P(problem) {}
    void run(bool backwards) const { backwards ? backward() : forward(); }
    int64_t numbers_of_room() const { return batch * time * (seen_room + given_room) + rows_at_once; }  // tiles are whole
};

}  // namespace

extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Readout<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Readout<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
int64_t numbers_of_room(const Problem<NUMBER>* problem) { return Readout<NUMBER>(*problem).numbers_of_room(); }
}
