// Updates of weights by their gradients, and limits on these, each in one pass over all numbers.
//
// The definition are the optimizers in experiments/training, which this file follows but for rounding.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "numbers.h"

namespace {

enum Rule { adam, rmsprop, graves, sgd };  // in the order of update.py

// Laid out as update.py fills it in. Vectors hold what belongs to the weights end to end.
template <class Number> struct Problem {
    int64_t rule, count;
    const int64_t* sizes;           // numbers of each weight
    Number* const* weights;
    Number* gradient;
    Number *kept, *more, *most;     // in the order in which the optimizer names them; or null
    Number* averaged;               // or null
    double rate, decay, other;      // of the step; what remains of what is kept
    double scale, share;            // of a root; of the weights in their mean
};

// The same of noise that moves weights, and of what they were before.
template <class Number> struct Shift {
    int64_t count;
    const int64_t* sizes;
    Number* const* weights;
    const Number* noise;
    Number* before;
    double scale;

    void add() const {
        int64_t first = 0;
        for (int64_t weight = 0; weight < count; first += sizes[weight++])
            in_vectors<Number>(sizes[weight], [&](int64_t at, int64_t n) {
                const Lanes<Number> own = load(weights[weight] + at, n);
                store(before + first + at, own, n);
                store(weights[weight] + at, own + Number(scale) * load(noise + first + at, n), n);
            });
    }
    void take_away() const {
        const Number* from = before;
        for (int64_t weight = 0; weight < count; from += sizes[weight++]) std::copy_n(from, sizes[weight], weights[weight]);
    }
};

// The same of what is done before an update: numbers within -most .. most, and then of a norm of at most this; inf for any.
template <class Number> struct Limits {
    int64_t count;
    Number *gradient, *norm;  // the latter before all that
    double most, longest;
};

// 1 / (scale sqrt(x) + 1e-8), of a square that may be 0 or too large.
template <class Number> Lanes<Number> inverse(Lanes<Number> x, Number scale) {
    const Number most = std::numeric_limits<Number>::max();
    const Lanes<Number> root = x <= Number(1e-37) ? Lanes<Number>{} : x * inverse_root<Number>(x);
    const Lanes<Number> floored = root * scale + Number(1e-8);
    return reciprocal(floored > most ? all(most) : floored);
}

template <class Number> class Update : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::gradient, P::kept, P::more, P::most, P::averaged;
    const Number rate = P::rate, decay = P::decay, scale = P::scale, share = P::share;

    // Adds function(place in the vectors, how many) to the weights.
    template <class Function> void move(Function function) const {
        int64_t first = 0;
        for (int64_t weight = 0; weight < P::count; first += P::sizes[weight++]) {
            Number* own = P::weights[weight];
            in_vectors<Number>(P::sizes[weight], [&](int64_t at, int64_t n) {
                const Vec moved = load(own + at, n) + function(first + at, n);
                store(own + at, moved, n);
                if (!averaged) return;
                const Vec mean = load(averaged + first + at, n);
                store(averaged + first + at, mean + share * (moved - mean), n);
            });
        }
    }
    // What a running mean leaves to what is new; of its square the first factor, for that alone may be too large.
    static Number left(double decay) { return Number(1 - decay); }
    // What is kept, made less, and something new; that alone where nothing is.
    static Vec gather(Number* vector, Number decay, Vec next, int64_t at, int64_t n) {
        if (!vector) return next;
        const Vec result = decay * load(vector + at, n) + next;
        store(vector + at, result, n);
        return result;
    }

public:
    explicit Update(const Problem<Number>& problem) : P(problem) {}
    void operator()() const {
        if (P::rule == adam) return move([&](int64_t at, int64_t n) {
            const Vec g = load(gradient + at, n);
            const Vec mean = gather(kept, decay, left(P::decay) * g, at, n);
            const Vec square = gather(more, P::other, left(P::other) * g * g, at, n);
            return -rate * mean * inverse(square, scale); });
        if (P::rule == rmsprop) return move([&](int64_t at, int64_t n) {
            const Vec g = load(gradient + at, n), square = gather(kept, 0.9, left(0.9) * g * g, at, n);
            return -rate * gather(more, decay, g * inverse(square, Number(1)), at, n); });
        if (P::rule == graves) return move([&](int64_t at, int64_t n) {
            const Vec g = load(gradient + at, n);
            const Vec part = left(0.95) * g, square = gather(kept, 0.95, part * g, at, n), mean = gather(more, 0.95, part, at, n);
            const Vec variance = square - mean * mean, floored = (variance < 0 ? Vec{} : variance) + Number(1e-4);
            // Of what is too large for a number the root's inverse is 0, not that of the largest number.
            const Vec inverse = floored > std::numeric_limits<Number>::max() ? Vec{} : inverse_root<Number>(floored);
            return gather(most, decay, -rate * g * inverse, at, n); });
        move([&](int64_t at, int64_t n) { return -rate * gather(kept, decay, load(gradient + at, n), at, n); });
    }
};

// Changes numbers by a function; the Euclidean norm before, which does not overflow where a number does not.
template <class Number, class Function> double change(Number* numbers, int64_t count, Function function) {
    constexpr int L = lanes<Number>;
    double sums[L]{}, total = 0;
    in_vectors<Number>(count, [&](int64_t at, int64_t n) {
        const Lanes<Number> own = load(numbers + at, n);
        for (int lane = 0; lane < L; lane++) sums[lane] += (double)own[lane] * own[lane];
        store(numbers + at, function(own), n);
    });
    for (double sum : sums) total += sum;
    return std::sqrt(total);
}

template <class Number> void keep_within(const Limits<Number>& limits) {
    typedef Lanes<Number> Vec;
    auto all_by = [&](auto function) { return change(limits.gradient, limits.count, function); };
    auto same = [](Vec x) { return x; };
    const Number most = limits.most;
    const bool bounded = std::isfinite(limits.most), shortened = std::isfinite(limits.longest);
    double norm = bounded ? all_by([&](Vec x) { return x > most ? all(most) : x < -most ? all(-most) : x; }) : all_by(same);
    *limits.norm = norm;
    if (bounded && shortened) norm = all_by(same);
    norm += 1e-6;
    // What is no number, too, reaches every gradient.
    if (shortened && !(norm <= limits.longest)) all_by([scale = Number(limits.longest / norm)](Vec x) { return x * scale; });
}

}  // namespace

extern "C" {
int update(const Problem<NUMBER>* problem) {
    const Flushed flushed;
    Update<NUMBER>{*problem}();
    return 0;
}
int limit(const Limits<NUMBER>* limits) {
    keep_within(*limits);
    return 0;
}
int add_noise(const Shift<NUMBER>* shift) {
    shift->add();
    return 0;
}
int take_noise_away(const Shift<NUMBER>* shift) {
    shift->take_away();
    return 0;
}
int size_of_a_number() { return sizeof(NUMBER); }
}
