// Least recently used access over whole sequences, forward and backward (Santoro et al. 2016, arXiv 1605.06065).
//
// The definition is the plain step in lrua.py, cells.py, least_used.py, addressing.py and memory.py; this file computes
// the same. Every head writes and reads by one key.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "controlled.h"

namespace {

// Laid out as lrua.py fills it in. The memory's part of a state: memory, read and write weights, usage.
template <class Number> struct LRUAProblem : Problem<Number> {
    int64_t learned_strength;
    double usage_decay;
};

template <class Number> class LRUA : public Controlled<Number, LRUAProblem<Number>, LRUA<Number>> {
    typedef Controlled<Number, LRUAProblem<Number>, LRUA<Number>> Base;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using P = LRUAProblem<Number>;
    using Base::learned_strength, Base::slots, Base::width, Base::blocks, Base::memory_size, Base::L, Base::map;
    using Base::each_block;

    const int64_t heads = P::reads, weights_size = heads * blocks;
    // Where each part of what the last projection gives begins; keys are first.
    const int64_t gate_at = heads * width, strength_at = gate_at + heads;
    const int64_t emitted = strength_at + learned_strength * heads;
    // Where each part of a state begins, in vectors.
    const int64_t reads_at = memory_size, writes_at = reads_at + weights_size, usage_at = writes_at + weights_size;
    const int64_t state_size = usage_at + blocks;
    const int64_t rest_size = 2 * weights_size + 2 * blocks + (heads + L - 1) / L, kept_size = 0;
    const std::vector<Number> ones = std::vector<Number>(heads, 1);

    // What one row did in one step: what it began with, what it left, and between them.
    struct Parts {
        const Vec *memory, *read_weights, *usage;
        Vec *next_memory, *next_reads, *next_writes, *next_usage;
        Vec *least, *similarity;  // (head, block): 1 at the slot that was emptied for the head; cosines
        Vec *retained, *scale;    // (block): 0 at slots that were emptied, else 1; 1 / |M_t(i)|
        Number* key_scale;        // 1 / |k|: (head)
        const Number* told;       // squashed
    };
    Parts parts(const At& at) const {
        Parts step;
        step.memory = at.before, step.next_memory = at.after;
        step.read_weights = at.before + reads_at, step.next_reads = at.after + reads_at;
        step.next_writes = at.after + writes_at;
        step.usage = at.before + usage_at, step.next_usage = at.after + usage_at;
        step.least = at.rest, step.similarity = step.least + weights_size;
        step.retained = step.similarity + weights_size, step.scale = step.retained + blocks;
        step.key_scale = (Number*)(step.scale + blocks);
        step.told = at.parameters;
        return step;
    }
    Search<Number> search(const Parts& step) const {
        const Number* strength = learned_strength ? step.told + strength_at : ones.data();
        return {heads, step.next_memory, step.told, nullptr, strength, step.similarity, step.next_reads, step.scale,
                step.key_scale, nullptr, nullptr};
    }

    void gather(const Number* const* state, int64_t row, Vec* to) const {
        this->gather_memory(row_of(state[0], row, slots * width), to);
        this->gather_rows(heads, row_of(state[1], row, heads * slots), to + reads_at);
        this->gather_rows(heads, row_of(state[2], row, heads * slots), to + writes_at);
        this->gather_rows(1, row_of(state[3], row, slots), to + usage_at);
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const {
        this->scatter_memory(from, row_of(state[0], row, slots * width));
        this->scatter_rows(heads, from + reads_at, row_of(state[1], row, heads * slots));
        this->scatter_rows(heads, from + writes_at, row_of(state[2], row, heads * slots));
        this->scatter_rows(1, from + usage_at, row_of(state[3], row, slots));
    }

    // What a step needs and nobody else.
    struct Room {
        std::vector<Vec> sums, content, usage;
        std::vector<Number> d_strength;
        explicit Room(const LRUA& of)
            : sums(std::max(of.heads * of.width, of.search_room(of.heads))), content(of.weights_size), usage(of.blocks),
              d_strength(of.heads) {}
    };

    // Each part squashed into its range.
    void squash(const At& at, Room&) const {
        const Number* raw = at.emitted;
        Number* to = at.parameters;
        map(heads * width, [&](int64_t at, int64_t n) { store(to + at, hyperbolic_tangent(load(raw + at, n)), n); });
        map(heads, [&](int64_t at, int64_t n) {
            store(to + gate_at + at, sigmoid(load(raw + gate_at + at, n)), n); });
        map(learned_strength * heads, [&](int64_t at, int64_t n) {
            store(to + strength_at + at, 1 + softplus(load(raw + strength_at + at, n)), n); });
    }

    // From the gradient of the squashed parts to that of what the last projection gives, in place.
    void squash_backward(const Number* raw, const Number* told, Number* gradient) const {
        for (int64_t at = 0; at < gate_at; at++) gradient[at] *= 1 - told[at] * told[at];
        for (int64_t at = gate_at; at < strength_at; at++) gradient[at] *= told[at] * (1 - told[at]);
        map(learned_strength * heads, [&](int64_t at, int64_t n) {
            const Vec slope = softplus_slope(load(raw + strength_at + at, n));
            store(gradient + strength_at + at, load(gradient + strength_at + at, n) * slope, n); });
    }

    // For each head the least used of the slots that are left, of equal ones the first.
    void mark(const Parts& step, Room& room) const {
        Number* usage = (Number*)room.usage.data();
        std::copy_n(step.usage, blocks, room.usage.data());
        std::fill_n(step.least, weights_size, Vec{});
        std::fill_n(step.retained, blocks, Vec{} + 1);
        for (int64_t head = 0; head < heads; head++) {
            const int64_t slot = std::min_element(usage, usage + slots) - usage;
            usage[slot] = std::numeric_limits<Number>::infinity();
            step.least[head * blocks + slot / L][slot % L] = 1;
            step.retained[slot / L][slot % L] = 0;
        }
    }

    void move(const At& at, Room& room, Number* reads_to) const {
        const Parts step = parts(at);
        mark(step, room);
        for (int64_t head = 0; head < heads; head++) {
            const Number gate = step.told[gate_at + head];
            for (int64_t at = head * blocks; at < (head + 1) * blocks; at++)
                step.next_writes[at] = gate * step.read_weights[at] + (1 - gate) * step.least[at];
        }
        each_block([&](auto together, int64_t block) {
            for (int64_t column = 0; column < width; column++)
                for (int64_t one = block; one < block + together; one++) {
                    Vec value = step.memory[one * width + column] * step.retained[one];
                    for (int64_t head = 0; head < heads; head++)
                        value += step.next_writes[head * blocks + one] * step.told[head * width + column];
                    step.next_memory[one * width + column] = value;
                }
        });
        this->find(search(step));
        for (int64_t block = 0; block < blocks; block++) {
            Vec used{};
            for (int64_t at = block; at < weights_size; at += blocks) used += step.next_reads[at] + step.next_writes[at];
            step.next_usage[block] = Number(P::usage_decay) * step.usage[block] + used;
        }
        if (!reads_to) return;
        Vec* total = room.sums.data();
        std::fill_n(total, heads * width, Vec{});
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t head = 0; head < heads; head++)
                for (int64_t column = 0; column < width; column++)
                    total[head * width + column] +=
                        step.next_reads[head * blocks + block] * step.next_memory[block * width + column];
        for (int64_t at = 0; at < heads * width; at++) reads_to[at] = sum<Number>(total[at]);
    }

    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        const Parts step = parts(at);
        Vec *d_memory = state, *d_read_weights = state + reads_at, *d_write_weights = state + writes_at;
        each_block([&](auto together, int64_t block) {
            this->template read_backward<together>(heads, step.next_memory, step.next_reads, d_reads, block,
                                                   d_read_weights, d_memory);
        });
        std::copy_n(d_read_weights, weights_size, room.content.data());
        this->find_backward(search(step), room.content.data(), d_memory, gradient, nullptr,
                            learned_strength ? gradient + strength_at : room.d_strength.data(), room.sums.data());
        Vec* d_key = room.sums.data();
        std::fill_n(d_key, heads * width, Vec{});
        for (int64_t block = 0; block < blocks; block++)
            for (int64_t column = 0; column < width; column++) {
                Vec& d_value = d_memory[block * width + column];
                for (int64_t head = 0; head < heads; head++) {
                    d_write_weights[head * blocks + block] += step.told[head * width + column] * d_value;
                    d_key[head * width + column] += step.next_writes[head * blocks + block] * d_value;
                }
                d_value *= step.retained[block];
            }
        for (int64_t at = 0; at < heads * width; at++) gradient[at] += sum<Number>(d_key[at]);
        for (int64_t head = 0; head < heads; head++) {
            const Number gate = step.told[gate_at + head];
            Vec d_gate{};
            for (int64_t at = head * blocks; at < (head + 1) * blocks; at++) {
                d_gate += d_write_weights[at] * (step.read_weights[at] - step.least[at]);
                d_read_weights[at] = gate * d_write_weights[at];
            }
            gradient[gate_at + head] = sum<Number>(d_gate);
        }
        // Nothing before goes by what was written where, and usage has no gradient.
        std::fill_n(d_write_weights, weights_size + blocks, Vec{});
        squash_backward(at.emitted, step.told, gradient);
    }

public:
    explicit LRUA(const LRUAProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(LRUA, LRUAProblem)
