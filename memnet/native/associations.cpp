// Matrix memories that bind keys to values, over whole sequences: decay, factors, a read, token by token.
//
// The definition is `associate` in functional/associations.py, whose names these are. No column of a memory hangs on
// another: a few vectors of columns go through all of time together, and gradients that are sums over columns are added
// up. Backwards, memories are computed again from those that are kept.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "numbers.h"

namespace {

// Sizes and tensors, laid out as associations.py fills it in.
template <class Number> struct Problem {
    int64_t batch, time, heads, factors, keys, values;
    int64_t decays;             // numbers of a log decay: 0 for none, 1, or one a key
    int64_t every;              // tokens between two memories that are kept
    const Number* memory;       // (batch, head, key, value)
    const Number* query;        // (batch, time, head, key)
    const Number* key;          // (batch, time, head, factor, key)
    const Number* value;        // (batch, time, head, factor, value)
    const Number* erase;        // as key; null for factors that only add
    const Number* log_decay;    // (batch, time, head, decays); null for none
    Number* reads;              // (batch, time, head, value)
    Number* last;               // (batch, head, key, value)
    Number* kept;               // (batch, head, time / every, key, value), rounded up; null without a backward pass
    const Number* d_reads;      // gradients from here on; null for none
    const Number* d_last;
    Number* d_memory;
    Number* d_query;            // those from here on are zeros at first, but for d_value
    Number* d_key;
    Number* d_value;
    Number* d_erase;
    Number* d_log_decay;
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::time, P::heads, P::factors, P::keys, P::values, P::decays, P::every;
    static constexpr int L = lanes<Number>;

    // Of one head of one row, a token's place among all tokens of all heads, and its decays.
    struct Head {
        int64_t row, head;
        std::vector<Number> decay;  // exp(log_decay), token by token; a one where there is none
    };
    int64_t place(const Head& of, int64_t token) const { return (of.row * time + token) * heads + of.head; }
    const Number* decay(const Head& of, int64_t token) const { return &of.decay[decays ? token * decays : 0]; }

    Head head_of(int64_t row, int64_t head) const {
        Head of{row, head, std::vector<Number>(std::max<int64_t>(time * decays, 1), Number(1))};
        for (int64_t token = 0; decays && token < time; token++)
            in_vectors<Number>(decays, [&](int64_t at, int64_t left) {
                const Number* from = P::log_decay + place(of, token) * decays + at;
                store(&of.decay[token * decays + at], exponential(load(from, left)), left);
            });
        return of;
    }

    // So many vectors of columns, from column `first` on, of the rows of a matrix; those after the last column are zero.
    template <int parts> void take(const Number* from, int64_t rows, int64_t first, Vec* to) const {
        for (int64_t row = 0; row < rows; row++, from += values)
            for (int part = 0; part < parts; part++)
                to[row * parts + part] = load(from + first + part * L, values - first - part * L);
    }
    template <int parts> void put(const Vec* from, int64_t rows, int64_t first, Number* to) const {
        for (int64_t row = 0; row < rows; row++, to += values)
            for (int part = 0; part < parts; part++)
                store(to + first + part * L, from[row * parts + part], values - first - part * L);
    }

    // What a token does to columns of a memory; `changes` becomes what each factor binds, value - erase^T S.
    template <int parts>
    void write(const Head& of, int64_t token, int64_t first, Vec* memory, Vec* changes) const {
        const int64_t at = place(of, token) * factors;
        const Number* kept = decay(of, token);
        const int64_t step = decays > 1;
        take<parts>(P::value + at * values, factors, first, changes);
        for (int64_t row = 0; decays && row < keys; row++)
            for (int part = 0; part < parts; part++) memory[row * parts + part] *= kept[row * step];
        for (int64_t factor = 0; factor < factors; factor++) {
            const Number* key = P::key + (at + factor) * keys;
            Vec change[parts];
            std::copy_n(changes + factor * parts, parts, change);
            if (P::erase) {
                const Number* erase = P::erase + (at + factor) * keys;
                for (int64_t row = 0; row < keys; row++)
                    for (int part = 0; part < parts; part++) change[part] -= erase[row] * memory[row * parts + part];
                std::copy_n(change, parts, changes + factor * parts);
            }
            for (int64_t row = 0; row < keys; row++)
                for (int part = 0; part < parts; part++) memory[row * parts + part] += key[row] * change[part];
        }
    }

    template <int parts> void forward_columns(const Head& of, int64_t first) const {
        std::vector<Vec> memory(keys * parts), changes(factors * parts);
        const int64_t matrix = (of.row * heads + of.head) * keys * values;
        take<parts>(P::memory + matrix, keys, first, memory.data());
        for (int64_t token = 0; token < time; token++) {
            if (P::kept && token % every == 0) put<parts>(memory.data(), keys, first, kept_of(of, token));
            write<parts>(of, token, first, memory.data(), changes.data());
            const Number* query = P::query + place(of, token) * keys;
            Vec read[parts] = {};
            for (int64_t row = 0; row < keys; row++)
                for (int part = 0; part < parts; part++) read[part] += query[row] * memory[row * parts + part];
            put<parts>(read, 1, first, P::reads + place(of, token) * values);
        }
        put<parts>(memory.data(), keys, first, P::last + matrix);
    }

    Number* kept_of(const Head& of, int64_t token) const {
        const int64_t stretches = (time + every - 1) / every;
        return P::kept + ((of.row * heads + of.head) * stretches + token / every) * keys * values;
    }

    // to[row] += scale(row's vector) sum of product(row), a vector of columns, for all rows of a memory.
    template <class Product, class Scale> void add_sums(Number* to, Product product, Scale scale) const {
        for (int64_t first = 0; first < keys; first += L) {
            Vec products[L];
            for (int lane = 0; lane < L; lane++) products[lane] = first + lane < keys ? product(first + lane) : Vec{};
            const int64_t left = keys - first;
            store(to + first, load(to + first, left) + scale(first, left) * sums<Number>(products), left);
        }
    }
    template <int parts> static Vec dot(const Vec* one, const Vec* other) {
        Vec total = one[0] * other[0];
        for (int part = 1; part < parts; part++) total += one[part] * other[part];
        return total;
    }

    // The gradient of a token, of what it was given and, in place of that after it, of the memory before it.
    template <int parts>
    void back(const Head& of, int64_t token, int64_t first, const Vec* before, const Vec* changes, Vec* d_memory) const {
        const int64_t at = place(of, token);
        const Number *query = P::query + at * keys, *kept = decay(of, token);
        const int64_t step = decays > 1;
        const auto once = [](int64_t, int64_t) { return all(Number(1)); };
        Vec d_read[parts] = {}, d_change[parts];
        if (P::d_reads) take<parts>(P::d_reads + at * values, 1, first, d_read);
        // S = Diag(a) S' + the sum of all k u^T
        const auto kept_rows = [&](int64_t row, int64_t left) { return step ? load(kept + row, left) : all(kept[0]); };
        add_sums(P::d_query + at * keys, [&](int64_t row) { return dot<parts>(before + row * parts, d_read); }, kept_rows);
        for (int64_t factor = 0; factor < factors; factor++)
            add_scaled(P::d_query + at * keys, P::key + (at * factors + factor) * keys,
                       sum<Number>(dot<parts>(changes + factor * parts, d_read)));
        for (int64_t row = 0; row < keys; row++)
            for (int part = 0; part < parts; part++) d_memory[row * parts + part] += query[row] * d_read[part];
        for (int64_t factor = factors; factor-- > 0;) {
            const int64_t of_factor = at * factors + factor;
            const Number* key = P::key + of_factor * keys;
            const Vec* change = changes + factor * parts;
            std::fill_n(d_change, parts, Vec{});
            for (int64_t row = 0; row < keys; row++)
                for (int part = 0; part < parts; part++) d_change[part] += key[row] * d_memory[row * parts + part];
            add_sums(P::d_key + of_factor * keys, [&](int64_t row) { return dot<parts>(d_memory + row * parts, change); }, once);
            put<parts>(d_change, 1, first, P::d_value + of_factor * values);
            if (!P::erase) continue;
            const Number* erase = P::erase + of_factor * keys;
            Number* d_erase = P::d_erase + of_factor * keys;
            add_sums(d_erase, [&](int64_t row) { return -dot<parts>(before + row * parts, d_change); }, kept_rows);
            for (int64_t earlier = 0; earlier < factor; earlier++)
                add_scaled(d_erase, P::key + (at * factors + earlier) * keys,
                           -sum<Number>(dot<parts>(changes + earlier * parts, d_change)));
            for (int64_t row = 0; row < keys; row++)
                for (int part = 0; part < parts; part++) d_memory[row * parts + part] -= erase[row] * d_change[part];
        }
        if (!decays) return;
        Number* d_decay = P::d_log_decay + at * decays;
        if (step)
            add_sums(d_decay, [&](int64_t row) { return dot<parts>(d_memory + row * parts, before + row * parts); }, kept_rows);
        else {
            Vec total{};
            for (int64_t row = 0; row < keys; row++) total += dot<parts>(d_memory + row * parts, before + row * parts);
            *d_decay += *kept * sum<Number>(total);
        }
        for (int64_t row = 0; row < keys; row++)
            for (int part = 0; part < parts; part++) d_memory[row * parts + part] *= kept[row * step];
    }
    void add_scaled(Number* to, const Number* from, Number scale) const {
        in_vectors<Number>(keys, [&](int64_t at, int64_t left) {
            store(to + at, load(to + at, left) + scale * load(from + at, left), left); });
    }

    template <int parts> void backward_columns(const Head& of, int64_t first) const {
        const int64_t matrix = (of.row * heads + of.head) * keys * values, size = keys * parts;
        std::vector<Vec> memories((every + 1) * size), changes(every * factors * parts), d_memory(size);
        if (P::d_last) take<parts>(P::d_last + matrix, keys, first, d_memory.data());
        for (int64_t begin = (time + every - 1) / every * every - every; begin >= 0; begin -= every) {
            const int64_t count = std::min(every, time - begin);
            take<parts>(kept_of(of, begin), keys, first, memories.data());
            for (int64_t token = 0; token < count; token++) {
                std::copy_n(&memories[token * size], size, &memories[(token + 1) * size]);
                write<parts>(of, begin + token, first, &memories[(token + 1) * size], &changes[token * factors * parts]);
            }
            for (int64_t token = count; token-- > 0;)
                back<parts>(of, begin + token, first, &memories[token * size], &changes[token * factors * parts],
                            d_memory.data());
        }
        put<parts>(d_memory.data(), keys, first, P::d_memory + matrix);
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        for (int64_t row = 0; row < P::batch; row++)
            for (int64_t head = 0; head < heads; head++) {
                const Head of = head_of(row, head);
                in_tiles<4>((values + L - 1) / L, [&](auto parts, int64_t first) {
                    if (backward) backward_columns<parts>(of, first * L);
                    else forward_columns<parts>(of, first * L);
                });
            }
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives what `run` does.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
}
