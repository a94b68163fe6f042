// A Neural Turing Machine over whole sequences, forward and backward (Graves et al. 2014, arXiv 1410.5401).
//
// The definition is the plain step in ntm.py, cells.py, addressing.py and memory.py; this file computes the same,
// equation by equation.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "controlled.h"

namespace {

// Laid out as ntm.py fills it in. The memory's part of a state: memory, read and write weights.
template <class Number> struct NTMProblem : Problem<Number> {
    int64_t shift_range, by_content, by_location, after_write;
};

template <class Number> class NTM : public Controlled<Number, NTMProblem<Number>, NTM<Number>> {
    typedef Controlled<Number, NTMProblem<Number>, NTM<Number>> Base;
    typedef Lanes<Number> Vec;
    typedef Step<Number> At;
    friend Base;
    using Base::shift_range, Base::by_content, Base::by_location, Base::after_write, Base::slots, Base::width;
    using Base::reads, Base::writes, Base::blocks, Base::memory_size, Base::L, Base::map, Base::softmax;
    using Base::softmax_backward, Base::each_block;

    const int64_t heads = reads + writes, shifts = 2 * shift_range + 1, weights_size = heads * blocks;
    // Where each parameter of the heads begins among what the last projection gives.
    const int64_t key_at = 0, strength_at = heads * width * by_content, gate_at = strength_at + heads * by_content;
    const int64_t shift_at = gate_at + heads * (by_content && by_location);
    const int64_t sharpening_at = shift_at + heads * shifts * by_location;
    const int64_t erase_at = sharpening_at + heads * by_location, add_at = erase_at + writes * width;
    const int64_t emitted = add_at + writes * width;
    const int64_t key_scales = (heads + L - 1) / L;
    const int64_t state_size = memory_size + weights_size, rest_size = 4 * weights_size + blocks + key_scales;
    // Of few steps the backward pass finds the rest and the weightings as they were, instead of addressing once more: what
    // does not fit the second cache takes as long to come.
    const int64_t found_size = rest_size + weights_size;
    const int64_t kept_size = Base::batch * Base::time * found_size * vector_bytes <= 1 << 20 ? found_size : 0;

    // What the heads of one row did in one step.
    struct Parts {
        const Vec *memory, *previous;  // M_{t-1}: (block, width), and w_{t-1}, w_t: (head, block)
        Vec *after, *weights;          // of this step
        Vec *similarity, *content, *shifted, *logs, *scale;  // between them; 1 / |M_{t-1}(i)|: (block)
        Number *parameters, *key_scale;                      // squashed; 1 / |k|: (head)
    };
    Parts parts(const At& at) const {
        Parts step;
        step.memory = at.before;
        step.previous = at.before + memory_size;
        step.after = at.after;
        step.weights = at.after + memory_size;
        step.similarity = this->kept ? at.kept : at.rest;
        step.content = step.similarity + weights_size;
        step.shifted = step.content + weights_size;
        step.logs = step.shifted + weights_size;
        step.scale = step.logs + weights_size;
        step.key_scale = (Number*)(step.scale + blocks);
        step.parameters = at.parameters;
        return step;
    }
    Search<Number> search(const Parts& step) const {
        const Number* told = step.parameters;
        return {heads, step.memory, told + key_at, nullptr, told + strength_at, step.similarity, step.content,
                step.scale, step.key_scale, nullptr, nullptr};
    }

    void gather(const Number* const* state, int64_t row, Vec* to) const {
        this->gather_memory(row_of(state[0], row, slots * width), to);
        this->gather_rows(reads, row_of(state[1], row, reads * slots), to + memory_size);
        this->gather_rows(writes, row_of(state[2], row, writes * slots), to + memory_size + reads * blocks);
    }
    void scatter(const Vec* from, Number* const* state, int64_t row) const {
        this->scatter_memory(from, row_of(state[0], row, slots * width));
        this->scatter_rows(reads, from + memory_size, row_of(state[1], row, reads * slots));
        this->scatter_rows(writes, from + memory_size + reads * blocks, row_of(state[2], row, writes * slots));
    }

    // A row of slots with its ends repeated, so that a rotation is a load from elsewhere.
    struct Ring {
        std::vector<Number> numbers;
        int64_t slots, range;
        Ring(int64_t slots, int64_t range, int64_t blocks) : numbers(blocks * L + 2 * range), slots(slots), range(range) {}
        void put(int64_t block, Vec value) { store(&numbers[range + block * L], value); }
        void close() {
            for (int64_t at = 0; at < range; at++) {
                numbers[range - 1 - at] = numbers[range + slots - 1 - at];
                numbers[range + slots + at] = numbers[range + at];
            }
        }
        Vec get(int64_t block, int64_t offset) const { return load(&numbers[range + block * L + offset]); }
    };

    // What a step needs and nobody else.
    struct Room {
        Ring ring;
        std::vector<Vec> content, sums;
        explicit Room(const NTM& of)
            : ring(of.slots, of.shift_range, of.blocks), content(of.weights_size),
              sums(std::max((6 * of.writes + of.reads) * of.width, of.search_room(of.heads))) {}
    };

    // ------------------------------------------------------------------------------------------ heads

    // Each parameter squashed into its range, section 3.3.
    void squash(const At& at, Room&) const {
        const Number* raw = at.emitted;
        Number* to = at.parameters;
        map(heads * width * by_content, [&](int64_t at, int64_t n) {
            store(to + key_at + at, hyperbolic_tangent(load(raw + key_at + at, n)), n); });
        map(heads * by_content, [&](int64_t at, int64_t n) {
            store(to + strength_at + at, softplus(load(raw + strength_at + at, n)), n);
            if (by_location) store(to + gate_at + at, sigmoid(load(raw + gate_at + at, n)), n); });
        for (int64_t at = shift_at; at < sharpening_at; at += shifts) {
            const Number most = *std::max_element(raw + at, raw + at + shifts);
            for (int64_t shift = at; shift < at + shifts; shift++) to[shift] = raw[shift] - most;
        }
        map(heads * shifts * by_location, [&](int64_t at, int64_t n) {
            store(to + shift_at + at, exponential(load(to + shift_at + at, n)), n); });
        for (int64_t at = shift_at; at < sharpening_at; at += shifts) {
            const Number whole = std::accumulate(to + at, to + at + shifts, Number(0));
            for (int64_t shift = at; shift < at + shifts; shift++) to[shift] /= whole;
        }
        map(heads * by_location, [&](int64_t at, int64_t n) {
            store(to + sharpening_at + at, 1 + softplus(load(raw + sharpening_at + at, n)), n); });
        map(writes * width, [&](int64_t at, int64_t n) {
            store(to + erase_at + at, sigmoid(load(raw + erase_at + at, n)), n);
            store(to + add_at + at, hyperbolic_tangent(load(raw + add_at + at, n)), n); });
    }

    // From the gradient of the squashed parameters to that of the raw ones, in place.
    void squash_backward(const Number* raw, const Number* squashed, Number* gradient) const {
        for (int64_t at = key_at; at < strength_at; at++) gradient[at] *= 1 - squashed[at] * squashed[at];
        auto unbend = [&](int64_t first, int64_t count) {
            map(count, [&](int64_t at, int64_t n) {
                const Vec slope = softplus_slope(load(raw + first + at, n));
                store(gradient + first + at, load(gradient + first + at, n) * slope, n); });
        };
        unbend(strength_at, heads * by_content);
        for (int64_t at = gate_at; at < shift_at; at++) gradient[at] *= squashed[at] * (1 - squashed[at]);
        for (int64_t at = shift_at; at < sharpening_at; at += shifts) {
            Number mean = 0;
            for (int64_t shift = at; shift < at + shifts; shift++) mean += gradient[shift] * squashed[shift];
            for (int64_t shift = at; shift < at + shifts; shift++)
                gradient[shift] = squashed[shift] * (gradient[shift] - mean);
        }
        unbend(sharpening_at, heads * by_location);
        for (int64_t at = erase_at; at < add_at; at++) gradient[at] *= squashed[at] * (1 - squashed[at]);
        for (int64_t at = add_at; at < emitted; at++) gradient[at] *= 1 - squashed[at] * squashed[at];
    }

    // Interpolation, eq. 7.
    void interpolate(const Parts& step, int64_t head, Ring& ring) const {
        const Number gate = by_content ? step.parameters[gate_at + head] : 0;
        for (int64_t block = 0; block < blocks; block++) {
            const Vec previous = step.previous[head * blocks + block];
            ring.put(block, by_content ? gate * step.content[head * blocks + block] + (1 - gate) * previous : previous);
        }
        ring.close();
    }

    // Addressing of all heads, eqs. 5 to 9.
    void address(const Parts& step, Ring& ring) const {
        if (by_content) this->find(search(step));
        if (!by_location) {
            std::copy_n(step.content, weights_size, step.weights);
            return;
        }
        for (int64_t head = 0; head < heads; head++) {
            interpolate(step, head, ring);
            const Number* shift = step.parameters + shift_at + head * shifts;
            const Number sharpening = step.parameters[sharpening_at + head];
            Vec *shifted = step.shifted + head * blocks, *logs = step.logs + head * blocks;
            for (int64_t block = 0; block < blocks; block++) {
                Vec total{};  // eq. 8
                for (int64_t at = 0; at < shifts; at++) total += shift[at] * ring.get(block, shift_range - at);
                shifted[block] = total;
                const Number tiny = std::numeric_limits<Number>::min();
                logs[block] = logarithm(total < tiny ? all(tiny) : total);
                step.weights[head * blocks + block] = sharpening * logs[block];  // eq. 9
            }
            softmax(step.weights + head * blocks);
        }
    }

    void move(const At& at, Room& room, Number* reads_to) const {
        const Parts step = parts(at);
        Vec* weights = this->kept ? at.kept + rest_size : nullptr;
        if (weights && !reads_to) std::copy_n(weights, weights_size, step.weights);
        else address(step, room.ring);
        if (weights && reads_to) std::copy_n(step.weights, weights_size, weights);
        const int64_t read_heads = reads_to ? reads : 0;
        Vec* total = room.sums.data();
        std::fill_n(total, read_heads * width, Vec{});
        const Number *erase = step.parameters + erase_at, *add = step.parameters + add_at;
        auto read = [&](auto together, int64_t block, int64_t column, const Vec* before, const Vec* after) {
            for (int64_t head = 0; head < read_heads; head++) {
                Vec sum = total[head * width + column];
                for (int one = 0; one < together; one++)
                    sum += step.weights[head * blocks + block + one] * (after_write ? after[one] : before[one]);
                total[head * width + column] = sum;
            }
        };
        this->write(step.memory, step.after, step.weights + reads * blocks, erase, add, nullptr, read);
        for (int64_t place = 0; place < read_heads * width; place++) reads_to[place] = sum<Number>(total[place]);
    }

    // Backward through eqs. 2 to 4: the gradient of what was read to those of weights, memory, erase and add.
    void write_and_read_backward(const Parts& step, const Number* d_reads, Number* gradient, Vec* d_memory,
                                 Vec* d_weights, Vec* sums) const {
        Vec *d_erase = sums, *d_add = d_erase + writes * width, *room = d_add + writes * width;
        std::fill_n(d_erase, 2 * writes * width, Vec{});
        const Number* told = step.parameters;
        const int64_t first = reads * blocks;
        typename Base::Written written{step.memory, step.weights + first, told + erase_at, told + add_at, nullptr,
                                       d_memory, d_weights + first, d_erase, d_add, nullptr, room};
        const Vec* readable = after_write ? step.after : step.memory;
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            auto read = [&] {
                this->template read_backward<count>(reads, readable, step.weights, d_reads, block, d_weights, d_memory);
            };
            if (after_write) read();
            this->template write_backward<count>(written, block);
            if (!after_write) read();
        });
        for (int64_t at = 0; at < writes * width; at++) {
            gradient[erase_at + at] = sum<Number>(d_erase[at]);
            gradient[add_at + at] = sum<Number>(d_add[at]);
        }
    }

    // Backward through eqs. 7 to 9: the gradient of w_t to those of w_{t-1}, w_c and parameters.
    void locate_backward(const Parts& step, int64_t head, Number* gradient, Vec* d_weights, Vec* d_content,
                         Ring& ring) const {
        d_weights += head * blocks;
        d_content += head * blocks;
        const Vec *shifted = step.shifted + head * blocks, *logs = step.logs + head * blocks;
        const Vec *content = step.content + head * blocks, *previous = step.previous + head * blocks;
        const Number sharpening = step.parameters[sharpening_at + head];
        softmax_backward(step.weights + head * blocks, d_weights);  // eq. 9
        Vec d_sharpening{};
        for (int64_t block = 0; block < blocks; block++) {
            d_sharpening += d_weights[block] * logs[block];
            const Vec slope = d_weights[block] * sharpening * reciprocal(shifted[block]);
            d_weights[block] = shifted[block] < std::numeric_limits<Number>::min() ? Vec{} : slope;
        }
        gradient[sharpening_at + head] = sum<Number>(d_sharpening);
        interpolate(step, head, ring);
        const Number* shift = step.parameters + shift_at + head * shifts;
        for (int64_t at = 0; at < shifts; at++) {  // eq. 8
            Vec total{};
            for (int64_t block = 0; block < blocks; block++) total += d_weights[block] * ring.get(block, shift_range - at);
            gradient[shift_at + head * shifts + at] = sum<Number>(total);
        }
        for (int64_t block = 0; block < blocks; block++) ring.put(block, d_weights[block]);
        ring.close();
        Vec d_gate{};
        for (int64_t block = 0; block < blocks; block++) {
            Vec total{};
            for (int64_t at = 0; at < shifts; at++) total += shift[at] * ring.get(block, at - shift_range);
            d_weights[block] = total;
            if (!by_content) continue;
            const Number gate = step.parameters[gate_at + head];  // eq. 7
            d_gate += total * (content[block] - previous[block]);
            d_content[block] = total * gate;
            d_weights[block] -= d_content[block];
        }
        if (by_content) gradient[gate_at + head] = sum<Number>(d_gate);
    }

    void move_backward(const At& at, Room& room, const Number* d_reads, Number* gradient, Vec* state) const {
        const Parts step = parts(at);
        Vec *d_memory = state, *d_weights = state + memory_size, *d_content = room.content.data();
        write_and_read_backward(step, d_reads, gradient, d_memory, d_weights, room.sums.data());
        if (by_location)
            for (int64_t head = 0; head < heads; head++)
                locate_backward(step, head, gradient, d_weights, d_content, room.ring);
        else {
            std::copy_n(d_weights, weights_size, d_content);
            std::fill_n(d_weights, weights_size, Vec{});
        }
        if (by_content)
            this->find_backward(search(step), d_content, d_memory, gradient + key_at, nullptr, gradient + strength_at,
                                room.sums.data());
        squash_backward(at.emitted, step.parameters, gradient);
    }

public:
    explicit NTM(const NTMProblem<Number>& problem) : Base(problem) {}
};

}  // namespace

MEMNET_OPERATOR(NTM, NTMProblem)
