// A Neural Turing Machine over whole sequences, forward and backward (Graves et al. 2014, arXiv 1410.5401).
//
// The definition is the plain step in ntm.py, cells.py, addressing.py and memory.py; this file computes the same,
// equation by equation. A row's memory is kept as blocks of as many slots as a vector has lanes: block[width] holds
// one column of these slots. Lanes after the last slot hold zeros.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "numbers.h"

namespace {

// ---------------------------------------------------------------------------------------------- the sequence

enum Controller { feedforward, rnn_tanh, rnn_relu, lstm, gru };

// Sizes and tensors, laid out as ntm.py fills it in. Steps come first in what is kept: (time, batch, features).
// There are layers + 1 projections: one for each layer of the controller, and the heads'.
// A state is a table of tensors: each layer's hidden (and cell), then reads, memory, read and write weights.
template <class Number> struct Problem {
    int64_t batch, time, input_size, layers, hidden_size, controller, slots, width, reads, writes, shift_range;
    int64_t by_content, by_location, after_write;
    int64_t depth;    // time + 1 to keep every step for the backward pass, else 2
    int64_t segment;  // steps between checkpoints of memory and weightings
    double norm_floor;
    const int64_t* lengths;  // or null
    const Number* input;     // (batch, time, input_size)
    const Number *const *weight, *const *bias;  // (units, features), (units)
    const Number* const* first;                 // the state given
    Number* const* last;                        // the state returned
    Number* features;                           // (batch, time, hidden_size + reads * width)
    Number *const *operand, *const *units;      // what each projection saw, and gave
    Number* parameters;                         // of the heads, squashed
    Number* const* cell;                        // an LSTM's cells
    Number *saved_memory, *saved_weights;       // checkpoints, or null
    const Number* d_features;                   // gradients from here on; null for none
    const Number* const* d_last;
    Number* d_input;
    Number* const* d_units;
    Number* const* d_weight;  // (1 + features, units): of the bias, then of the weights
    Number* const* d_first;
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::batch, P::time, P::input_size, P::layers, P::hidden_size, P::controller, P::slots, P::width, P::reads;
    using P::writes, P::shift_range, P::by_content, P::by_location, P::after_write, P::depth, P::segment;
    using P::operand, P::units, P::d_units, P::cell, P::lengths;
    static constexpr int L = lanes<Number>;

    const int64_t heads = reads + writes, shifts = 2 * shift_range + 1, blocks = (slots + L - 1) / L;
    const int64_t recurrent = controller != feedforward, leaves = recurrent + (controller == lstm);
    const int64_t gates = controller == lstm || controller == gru ? 4 : 1, table = layers * leaves;
    // Where each parameter of the heads begins among what the last projection gives.
    const int64_t key_at = 0, strength_at = heads * width * by_content, gate_at = strength_at + heads * by_content;
    const int64_t shift_at = gate_at + heads * (by_content && by_location);
    const int64_t sharpening_at = shift_at + heads * shifts * by_location;
    const int64_t erase_at = sharpening_at + heads * by_location, add_at = erase_at + writes * width;
    const int64_t emitted = add_at + writes * width;
    const Number nearly_shut = std::sqrt(std::numeric_limits<Number>::min());
    const Number smallest = std::max<Number>(P::norm_floor * P::norm_floor, std::numeric_limits<Number>::min());

    // What the heads of one row did in one step.
    struct Step {
        Vec *memory, *after;              // M_{t-1}, M_t: (block, width)
        Vec *previous, *weights;          // w_{t-1}, w_t, and between them: (head, block)
        Vec *similarity, *content, *shifted, *logs;
        Vec* scale;                       // 1 / |M_{t-1}(i)|: (block)
        Number *parameters, *key_scale;   // squashed; 1 / |k|: (head)
    };

    int64_t features(int64_t layer) const {
        if (layer == layers) return hidden_size;
        return (layer ? hidden_size : input_size + reads * width) + recurrent * hidden_size;
    }
    int64_t below(int64_t layer) const { return features(layer) - (layer < layers) * recurrent * hidden_size; }
    int64_t outputs(int64_t layer) const { return layer == layers ? emitted : gates * hidden_size; }
    Number* operand_of(int64_t layer, int64_t step, int64_t row) const {
        return operand[layer] + (step % depth * batch + row) * features(layer);
    }
    Number* units_of(int64_t layer, int64_t step, int64_t row) const {
        return units[layer] + (step % (depth - 1) * batch + row) * outputs(layer);
    }
    Number* parameters_of(int64_t step, int64_t row) const {
        return P::parameters + (step % (depth - 1) * batch + row) * emitted;
    }
    Number* d_units_of(int64_t layer, int64_t step, int64_t row) const {
        return d_units[layer] + (step * batch + row) * outputs(layer);
    }
    Number* cell_of(int64_t layer, int64_t step, int64_t row) const {
        return cell[layer] + (step % depth * batch + row) * hidden_size;
    }
    bool active(int64_t row, int64_t step) const { return !lengths || step < lengths[row]; }
    int64_t memory_size() const { return blocks * width; }
    int64_t weights_size() const { return heads * blocks; }

    // ------------------------------------------------------------------------------------------ layouts

    void gather(const Number* from, Vec* memory) const {  // (slot, width) to (block, width, lane)
        std::fill_n(memory, memory_size(), Vec{});
        for (int64_t slot = 0; slot < slots; slot++)
            for (int64_t column = 0; column < width; column++)
                ((Number*)(memory + slot / L * width + column))[slot % L] = from[slot * width + column];
    }
    void scatter(const Vec* memory, Number* to) const {
        for (int64_t slot = 0; slot < slots; slot++)
            for (int64_t column = 0; column < width; column++)
                to[slot * width + column] = ((const Number*)(memory + slot / L * width + column))[slot % L];
    }
    void gather_weights(const Number* const* state, int64_t row, Vec* weights) const {
        std::fill_n(weights, weights_size(), Vec{});
        for (int64_t head = 0; head < heads; head++)
            if (const Number* from = weights_in(state, row, head))
                std::memcpy(weights + head * blocks, from, slots * sizeof(Number));
    }
    void scatter_weights(const Vec* weights, Number* const* state, int64_t row) const {
        for (int64_t head = 0; head < heads; head++)
            if (Number* to = weights_in(state, row, head))
                std::memcpy(to, weights + head * blocks, slots * sizeof(Number));
    }
    template <class Pointer> Pointer weights_in(Pointer const* state, int64_t row, int64_t head) const {
        Pointer whole = state[table + (head < reads ? 2 : 3)];
        const int64_t index = head < reads ? row * reads + head : row * writes + head - reads;
        return whole ? whole + index * slots : whole;
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

    // ------------------------------------------------------------------------------------------ heads

    Vec past_end() const {  // 0 in the last block's slots, -inf after them
        Vec result{};
        for (int64_t lane = slots - (blocks - 1) * L; lane < L; lane++) result[lane] = -INFINITY;
        return result;
    }

    // Softmax over the slots.
    void softmax(Vec* weights) const {
        weights[blocks - 1] += past_end();
        Vec highest = weights[0];
        for (int64_t block = 1; block < blocks; block++)
            highest = weights[block] > highest ? weights[block] : highest;
        const Number most = largest<Number>(highest);
        Vec total{};
        for (int64_t block = 0; block < blocks; block++)
            total += weights[block] = exponential(weights[block] - most);
        const Number share = 1 / sum<Number>(total);
        for (int64_t block = 0; block < blocks; block++) weights[block] *= share;
    }

    // From dw to the gradient of the softmax's logits, in place.
    void softmax_backward(const Vec* weights, Vec* gradient) const {
        Vec total{};
        for (int64_t block = 0; block < blocks; block++) total += gradient[block] * weights[block];
        const Number mean = sum<Number>(total);
        for (int64_t block = 0; block < blocks; block++)
            gradient[block] = weights[block] * (gradient[block] - mean);
    }

    static Vec softplus(Vec x) {
        const Vec small = exponential(x < 0 ? x : -x), whole = 1 + small;
        // log(1 + small), as exact as small is
        const Vec rest = whole == 1 ? small : logarithm(whole) * small / (whole - 1);
        return x > 20 ? x : x < 0 ? rest : rest + x;
    }
    static Vec softplus_slope(Vec x) { return x > 20 ? all<Number>(1) : sigmoid(x); }

    template <class Function> static void map(int64_t count, Function function) {
        for (int64_t at = 0; at < count; at += L) function(at, count - at);
    }

    // Each parameter squashed into its range, section 3.3.
    void squash(const Number* raw, Number* to) const {
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

    // Calls function(how many, first) for all blocks, four at a time as long as there are so many.
    template <class Function> void each_block(Function function) const {
        int64_t block = 0;
        for (; block + 4 <= blocks; block += 4) function(Constant<4>(), block);
        for (; block < blocks; block++) function(Constant<1>(), block);
    }

    // Content addressing, eqs. 5 and 6.
    void find(const Step& step) const {
        for (int64_t head = 0; head < heads; head++) {
            Number square = 0;
            for (int64_t column = 0; column < width; column++) {
                const Number key = step.parameters[key_at + head * width + column];
                square += key * key;
            }
            step.key_scale[head] = 1 / std::sqrt(square < smallest ? smallest : square);
        }
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec* memory = step.memory + block * width;
            Vec square[count]{};
            for (int64_t column = 0; column < width; column++)
                for (int one = 0; one < count; one++)
                    square[one] += memory[one * width + column] * memory[one * width + column];
            Vec* scale = step.scale + block;
            for (int one = 0; one < count; one++)
                scale[one] = 1 / square_root<Number>(square[one] < smallest ? all(smallest) : square[one]);
            for (int64_t head = 0; head < heads; head++) {
                const Number* key = step.parameters + key_at + head * width;
                Vec dot[count]{};
                for (int64_t column = 0; column < width; column++)
                    for (int one = 0; one < count; one++) dot[one] += key[column] * memory[one * width + column];
                for (int one = 0; one < count; one++)
                    step.similarity[head * blocks + block + one] = dot[one] * scale[one] * step.key_scale[head];
            }
        });
        for (int64_t head = 0; head < heads; head++) {
            Vec* content = step.content + head * blocks;
            for (int64_t block = 0; block < blocks; block++)
                content[block] = step.parameters[strength_at + head] * step.similarity[head * blocks + block];
            softmax(content);
        }
    }

    // Interpolation, eq. 7.
    void interpolate(const Step& step, int64_t head, Ring& ring) const {
        const Number gate = by_content ? step.parameters[gate_at + head] : 0;
        for (int64_t block = 0; block < blocks; block++) {
            const Vec previous = step.previous[head * blocks + block];
            ring.put(block, by_content ? gate * step.content[head * blocks + block] + (1 - gate) * previous : previous);
        }
        ring.close();
    }

    // Addressing of all heads, eqs. 5 to 9.
    void address(const Step& step, Ring& ring) const {
        if (by_content) find(step);
        if (!by_location) {
            std::copy_n(step.content, weights_size(), step.weights);
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

    // Erase, add and read, eqs. 2 to 4; `total` is for (head, width) vectors. No reads where `reads_to` is null.
    void write_and_read(const Step& step, Vec* total, Number* reads_to) const {
        const int64_t read_heads = reads_to ? reads : 0;
        std::fill_n(total, read_heads * width, Vec{});
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec *memory = step.memory + block * width, *read = step.weights + block;
            const Vec* write = read + reads * blocks;
            Vec* after = step.after + block * width;
            for (int64_t column = 0; column < width; column++) {
                Vec before[count], value[count];
                for (int one = 0; one < count; one++) before[one] = value[one] = memory[one * width + column];
                for (int64_t head = 0; head < writes; head++) {
                    const Number erase = step.parameters[erase_at + head * width + column];
                    for (int one = 0; one < count; one++)
                        value[one] -= value[one] * (write[head * blocks + one] * erase);
                }
                for (int64_t head = 0; head < writes; head++) {
                    const Number add = step.parameters[add_at + head * width + column];
                    for (int one = 0; one < count; one++) value[one] += write[head * blocks + one] * add;
                }
                for (int one = 0; one < count; one++) after[one * width + column] = value[one];
                for (int64_t head = 0; head < read_heads; head++) {
                    Vec sum = total[head * width + column];
                    for (int one = 0; one < count; one++)
                        sum += read[head * blocks + one] * (after_write ? value[one] : before[one]);
                    total[head * width + column] = sum;
                }
            }
        });
        for (int64_t at = 0; at < read_heads * width; at++) reads_to[at] = sum<Number>(total[at]);
    }

    // What the backward pass of one row carries from step to step, and uses within one.
    struct Gradient {
        std::vector<Vec> memory, weights, content, sums;
        std::vector<Number> reads, hidden, cell;
        Gradient(const Sequence& of)
            : memory(of.memory_size()), weights(of.weights_size()), content(of.weights_size()),
              sums((6 * of.writes + of.heads) * of.width), reads(of.reads * of.width),
              hidden(of.layers * of.hidden_size), cell(of.layers * of.hidden_size) {}
    };

    // Backward through eq. 2 for some blocks: d_reads to the gradients of read weights and memory.
    template <int count>
    void read_backward(const Step& step, const Number* d_reads, int64_t block, Gradient& carried) const {
        const Vec* readable = (after_write ? step.after : step.memory) + block * width;
        Vec* d_memory = carried.memory.data() + block * width;
        for (int64_t head = 0; head < reads; head++) {
            const Vec* weight = step.weights + head * blocks + block;
            Vec total[count]{};
            for (int64_t column = 0; column < width; column++) {
                const Number gradient = d_reads[head * width + column];
                for (int one = 0; one < count; one++) {
                    total[one] += gradient * readable[one * width + column];
                    d_memory[one * width + column] += weight[one] * gradient;
                }
            }
            for (int one = 0; one < count; one++) carried.weights[head * blocks + block + one] += total[one];
        }
    }

    // Backward through eq. 4 (if `adds`) and eq. 3 (if `erases`) for one head and some blocks whose memory was `before`.
    template <int count>
    void head_backward(const Step& step, int64_t head, int64_t block, const Vec* before, bool adds, bool erases,
                       Gradient& carried) const {
        const Vec* weight = step.weights + (reads + head) * blocks + block;
        Vec *d_memory = carried.memory.data() + block * width;
        Vec *d_erase = carried.sums.data() + head * width, *d_add = d_erase + writes * width, total[count]{};
        for (int64_t column = 0; column < width; column++) {
            Vec gradient[count];
            for (int one = 0; one < count; one++) gradient[one] = d_memory[one * width + column];
            if (adds) {
                const Number add = step.parameters[add_at + head * width + column];
                Vec sum = d_add[column];
                for (int one = 0; one < count; one++) {
                    total[one] += add * gradient[one];
                    sum += weight[one] * gradient[one];
                }
                d_add[column] = sum;
            }
            if (erases) {
                const Number erase = step.parameters[erase_at + head * width + column];
                Vec sum = d_erase[column];
                for (int one = 0; one < count; one++) {
                    const Vec outer = gradient[one] * before[one * width + column];
                    total[one] -= erase * outer;
                    sum -= weight[one] * outer;
                    d_memory[one * width + column] = gradient[one] - gradient[one] * (weight[one] * erase);
                }
                d_erase[column] = sum;
            }
        }
        for (int one = 0; one < count; one++) carried.weights[(reads + head) * blocks + block + one] += total[one];
    }

    // Backward through eqs. 2 to 4: d_reads to the gradients of weights, memory, erase and add.
    void write_and_read_backward(const Step& step, const Number* d_reads, Number* gradient, Gradient& carried) const {
        Vec *d_erase = carried.sums.data(), *d_add = d_erase + writes * width, *erased = d_add + writes * width;
        std::fill_n(d_erase, 2 * writes * width, Vec{});
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const int64_t size = count * width, last = writes - 1;
            const Vec* memory = step.memory + block * width;
            if (after_write) read_backward<count>(step, d_reads, block, carried);
            // The memory before each head's erasing: given for the first, then kept in `erased`.
            auto before = [&](int64_t head) { return head ? erased + (head - 1) * size : memory; };
            for (int64_t head = 0; head < last; head++)
                for (int64_t at = 0; at < size; at++) {
                    const Vec weight = step.weights[(reads + head) * blocks + block + at / width];
                    const Vec kept = before(head)[at];
                    erased[head * size + at] = kept - kept * (weight * step.parameters[erase_at + head * width + at % width]);
                }
            for (int64_t head = 0; head < last; head++)
                head_backward<count>(step, head, block, nullptr, true, false, carried);
            head_backward<count>(step, last, block, before(last), true, true, carried);
            for (int64_t head = last - 1; head >= 0; head--)
                head_backward<count>(step, head, block, before(head), false, true, carried);
            if (!after_write) read_backward<count>(step, d_reads, block, carried);
        });
        for (int64_t at = 0; at < writes * width; at++) {
            gradient[erase_at + at] = sum<Number>(d_erase[at]);
            gradient[add_at + at] = sum<Number>(d_add[at]);
        }
    }

    // Backward through eqs. 7 to 9: the gradient of w_t to those of w_{t-1}, w_c and parameters.
    void locate_backward(const Step& step, int64_t head, Number* gradient, Gradient& carried, Ring& ring) const {
        Vec *d_weights = carried.weights.data() + head * blocks, *d_content = carried.content.data() + head * blocks;
        const Vec *shifted = step.shifted + head * blocks, *logs = step.logs + head * blocks;
        const Vec *content = step.content + head * blocks, *previous = step.previous + head * blocks;
        const Number sharpening = step.parameters[sharpening_at + head];
        softmax_backward(step.weights + head * blocks, d_weights);  // eq. 9
        Vec d_sharpening{};
        for (int64_t block = 0; block < blocks; block++) {
            d_sharpening += d_weights[block] * logs[block];
            const Vec slope = d_weights[block] * sharpening / shifted[block];
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

    // Backward through eqs. 5 and 6: the gradient of w_c to those of memory, keys and strengths.
    void find_backward(const Step& step, Number* gradient, Gradient& carried) const {
        Vec* d_keys = carried.sums.data();
        std::fill_n(d_keys, heads * width, Vec{});
        for (int64_t head = 0; head < heads; head++) {
            Vec* d_similarity = carried.content.data() + head * blocks;
            softmax_backward(step.content + head * blocks, d_similarity);
            Vec d_strength{};
            for (int64_t block = 0; block < blocks; block++) {
                d_strength += d_similarity[block] * step.similarity[head * blocks + block];
                d_similarity[block] *= step.parameters[strength_at + head];
            }
            gradient[strength_at + head] = sum<Number>(d_strength);
        }
        const Number floored = 1 / std::sqrt(smallest);
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec *memory = step.memory + block * width, *scale = step.scale + block;
            Vec *d_memory = carried.memory.data() + block * width, along[count]{};  // along the memory: of its norm
            for (int64_t head = 0; head < heads; head++)
                for (int one = 0; one < count; one++) {
                    const int64_t at = head * blocks + block + one;
                    along[one] += carried.content[at] * step.similarity[at];
                }
            for (int one = 0; one < count; one++) along[one] *= scale[one] < floored ? scale[one] * scale[one] : Vec{};
            for (int64_t head = 0; head < heads; head++) {
                const Number* key = step.parameters + key_at + head * width;
                Vec d_dot[count];
                for (int one = 0; one < count; one++)
                    d_dot[one] = carried.content[head * blocks + block + one] * scale[one] * step.key_scale[head];
                for (int64_t column = 0; column < width; column++) {
                    Vec sum = d_keys[head * width + column];
                    for (int one = 0; one < count; one++) {
                        const Vec value = memory[one * width + column];
                        sum += d_dot[one] * value;
                        Vec d_value = d_memory[one * width + column] + d_dot[one] * key[column];
                        if (head == 0) d_value -= along[one] * value;
                        d_memory[one * width + column] = d_value;
                    }
                    d_keys[head * width + column] = sum;
                }
            }
        });
        for (int64_t head = 0; head < heads; head++) {
            Vec total{};
            for (int64_t block = 0; block < blocks; block++)
                total += carried.content[head * blocks + block] * step.similarity[head * blocks + block];
            const Number scale = step.key_scale[head];
            const Number along = scale < floored ? sum<Number>(total) * scale * scale : 0;
            for (int64_t at = head * width; at < (head + 1) * width; at++)
                gradient[key_at + at] = sum<Number>(d_keys[at]) - along * step.parameters[key_at + at];
        }
    }

    void address_backward(const Step& step, Number* gradient, Gradient& carried, Ring& ring) const {
        if (by_location)
            for (int64_t head = 0; head < heads; head++) locate_backward(step, head, gradient, carried, ring);
        else {
            std::swap(carried.weights, carried.content);
            std::fill(carried.weights.begin(), carried.weights.end(), Vec{});
        }
        if (by_content) find_backward(step, gradient, carried);
    }

    // ------------------------------------------------------------------------------------------ controllers

    // One layer's units, in place from their sums to what the backward pass needs, and its next hidden state.
    void control(int64_t layer, int64_t step, int64_t row) const {
        Number *unit = units_of(layer, step, row), *next = operand_of(layer + 1, step, row);
        const Number* hidden = operand_of(layer, step, row) + below(layer);
        const int64_t size = hidden_size;
        map(size, [&](int64_t at, int64_t n) {
            Vec one = load(unit + at, n);
            if (controller == lstm) {
                const Vec forget = sigmoid(load(unit + size + at, n)), out = sigmoid(load(unit + 3 * size + at, n));
                const Vec candidate = hyperbolic_tangent(load(unit + 2 * size + at, n));
                one = sigmoid(one);
                const Vec kept = forget * load(cell_of(layer, step, row) + at, n) + one * candidate;
                store(cell_of(layer, step + 1, row) + at, kept, n);
                store(unit + size + at, forget, n);
                store(unit + 2 * size + at, candidate, n);
                store(unit + 3 * size + at, out, n);
                store(unit + at, one, n);
                one = out * hyperbolic_tangent(kept);
            } else if (controller == gru) {
                const Vec reset = sigmoid(one), update = sigmoid(load(unit + size + at, n));
                const Vec recalled = load(unit + 3 * size + at, n);
                const Vec candidate = hyperbolic_tangent(load(unit + 2 * size + at, n) + reset * recalled);
                store(unit + at, reset, n);
                store(unit + size + at, update, n);
                store(unit + 2 * size + at, candidate, n);
                one = candidate + update * (load(hidden + at, n) - candidate);
            } else {
                one = controller == rnn_relu ? (one < 0 ? Vec{} : one) : hyperbolic_tangent(one);
                store(unit + at, one, n);
            }
            store(next + at, one, n);
        });
        if (recurrent) std::copy_n(next, size, operand_of(layer, step + 1, row) + below(layer));
    }

    // From the gradient of a layer's hidden state to that of its units' sums, and to what goes on to the step before.
    void control_backward(int64_t layer, int64_t step, int64_t row, const Number* above, Gradient& carried) const {
        const Number *unit = units_of(layer, step, row), *hidden = operand_of(layer, step, row) + below(layer);
        Number *to = d_units_of(layer, step, row);
        Number *d_hidden = carried.hidden.data() + layer * hidden_size, *d_cell = carried.cell.data() + layer * hidden_size;
        const int64_t size = hidden_size;
        map(size, [&](int64_t at, int64_t n) {
            const Vec gradient = load(above + at, n) + load(d_hidden + at, n);
            const Vec one = load(unit + at, n);
            Vec direct{};
            if (controller == lstm) {
                const Vec forget = load(unit + size + at, n), candidate = load(unit + 2 * size + at, n);
                const Vec out = load(unit + 3 * size + at, n);
                // tanh of the cell; where the output gate is as good as shut, nothing depends on it.
                const Vec hidden_now = load(operand_of(layer + 1, step, row) + at, n);
                const Vec squashed = out > nearly_shut ? hidden_now / out : Vec{};
                const Vec total = load(d_cell + at, n) + gradient * out * (1 - squashed * squashed);
                store(to + at, total * candidate * one * (1 - one), n);
                store(to + size + at, total * load(cell_of(layer, step, row) + at, n) * forget * (1 - forget), n);
                store(to + 2 * size + at, total * one * (1 - candidate * candidate), n);
                store(to + 3 * size + at, gradient * squashed * out * (1 - out), n);
                store(d_cell + at, total * forget, n);
            } else if (controller == gru) {
                const Vec update = load(unit + size + at, n), candidate = load(unit + 2 * size + at, n);
                const Vec recalled = load(unit + 3 * size + at, n);
                const Vec inner = gradient * (1 - update) * (1 - candidate * candidate);
                store(to + at, inner * recalled * one * (1 - one), n);
                store(to + size + at, gradient * (load(hidden + at, n) - candidate) * update * (1 - update), n);
                store(to + 2 * size + at, inner, n);
                store(to + 3 * size + at, inner * one, n);
                direct = gradient * update;
            } else
                store(to + at, controller == rnn_relu ? (one <= 0 ? Vec{} : gradient) : gradient * (1 - one * one), n);
            store(d_hidden + at, direct, n);
        });
    }

    // ------------------------------------------------------------------------------------------ whole sequences

    // Rows that go through time together: their memories stay in cache, and weights serve several rows.
    int64_t rows_together() const {
        return std::clamp<int64_t>((1 << 19) / (memory_size() * vector_bytes), 1, 8);
    }

    // Room for what heads do: `steps` steps of one row, whose memories and weightings follow each other.
    struct Tape {
        std::unique_ptr<Vec[]> vectors;
        std::vector<Number> numbers;
        std::vector<Step> steps;
        Tape(const Sequence& of, int64_t count, bool in_place) : numbers(count * of.heads), steps(count) {
            const int64_t memory = of.memory_size(), weights = of.weights_size();
            const int64_t each = in_place ? 0 : memory + weights, rest = 4 * weights + of.blocks;
            vectors.reset(new Vec[memory + weights + count * (each + rest)]);
            for (int64_t index = 0; index < count; index++) {
                Step& step = steps[index];
                step.memory = vectors.get() + index * each;
                step.previous = step.memory + memory;
                step.after = step.memory + each;
                step.weights = step.previous + each;
                step.similarity = vectors.get() + memory + weights + count * each + index * rest;
                step.content = step.similarity + weights;
                step.shifted = step.content + weights;
                step.logs = step.shifted + weights;
                step.scale = step.logs + weights;
                step.key_scale = numbers.data() + index * of.heads;
            }
        }
    };

    std::vector<Panels<Number>> panels(bool backward) const {
        std::vector<Panels<Number>> result;
        for (int64_t layer = 0; layer <= layers; layer++) {
            const int64_t in = features(layer), out = outputs(layer);
            if (backward) result.emplace_back(out, in, P::weight[layer], in, 1, nullptr);
            else result.emplace_back(in, out, P::weight[layer], 1, in, P::bias[layer]);
        }
        return result;
    }

    void start(int64_t row, const Step& heads_step) const {
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            const Number* const* state = P::first + layer * leaves;
            std::copy_n(state[0] + row * hidden_size, hidden_size, operand_of(layer, 0, row) + below(layer));
            if (controller == lstm) std::copy_n(state[1] + row * hidden_size, hidden_size, cell_of(layer, 0, row));
        }
        const int64_t size = reads * width;
        std::copy_n(P::first[table] + row * size, size, operand_of(0, 0, row) + input_size);
        gather(P::first[table + 1] + row * slots * width, heads_step.memory);
        gather_weights(P::first, row, heads_step.previous);
    }

    void finish(int64_t row, const Step& heads_step) const {
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            Number* const* state = P::last + layer * leaves;
            std::copy_n(operand_of(layer, time, row) + below(layer), hidden_size, state[0] + row * hidden_size);
            if (controller == lstm) std::copy_n(cell_of(layer, time, row), hidden_size, state[1] + row * hidden_size);
        }
        const int64_t size = reads * width;
        std::copy_n(operand_of(0, time, row) + input_size, size, P::last[table] + row * size);
        scatter(heads_step.memory, P::last[table + 1] + row * slots * width);
        scatter_weights(heads_step.previous, P::last, row);
    }

    // A step after the row's end: its state stays.
    void carry(int64_t step, int64_t row) const {
        for (int64_t layer = 0; layer < layers; layer++) {
            const int64_t from = layer ? below(layer) : input_size;
            std::copy_n(operand_of(layer, step, row) + from, features(layer) - from,
                        operand_of(layer, step + 1, row) + from);
            if (controller == lstm) std::copy_n(cell_of(layer, step, row), hidden_size, cell_of(layer, step + 1, row));
        }
        const int64_t size = hidden_size + reads * width;
        std::fill_n(P::features + (row * time + step) * size, size, Number(0));
    }

    void move_heads(int64_t step, int64_t row, Step& tape, Ring& ring, Vec* sums) const {
        Number* output = P::features + (row * time + step) * (hidden_size + reads * width);
        Number* vectors = output + hidden_size;
        tape.parameters = parameters_of(step, row);
        squash(units_of(layers, step, row), tape.parameters);
        address(tape, ring);
        write_and_read(tape, sums, vectors);
        std::copy_n(operand_of(layers, step, row), hidden_size, output);
        std::copy_n(vectors, reads * width, operand_of(0, step + 1, row) + input_size);
    }

    void forward_rows(int64_t first, int64_t count, const std::vector<Panels<Number>>& products) const {
        std::vector<Tape> tapes;
        for (int64_t row = 0; row < count; row++) {
            tapes.emplace_back(*this, 1, true);
            start(first + row, tapes[row].steps[0]);
        }
        Ring ring(slots, shift_range, blocks);
        std::vector<Vec> sums(reads * width);
        for (int64_t step = 0; step < time; step++) {
            for (int64_t row = first; row < first + count; row++) {
                const Number* from = P::input + (row * time + step) * input_size;
                std::copy_n(from, input_size, operand_of(0, step, row));
                const Step& tape = tapes[row - first].steps[0];
                if (P::saved_memory && step % segment == 0) {
                    const int64_t index = step / segment * batch + row;
                    std::copy_n(tape.memory, memory_size(), (Vec*)P::saved_memory + index * memory_size());
                    std::copy_n(tape.previous, weights_size(), (Vec*)P::saved_weights + index * weights_size());
                }
                if (!active(row, step)) carry(step, row);
            }
            for (int64_t layer = 0; layer <= layers; layer++) {
                products[layer].apply(count, operand_of(layer, step, first), features(layer),
                                      units_of(layer, step, first), outputs(layer));
                for (int64_t row = first; row < first + count; row++)
                    if (active(row, step)) {
                        if (layer < layers) control(layer, step, row);
                        else move_heads(step, row, tapes[row - first].steps[0], ring, sums.data());
                    }
            }
        }
        for (int64_t row = 0; row < count; row++) finish(first + row, tapes[row].steps[0]);
    }

    // Addressing and writing of one segment once more, keeping everything.
    void replay(int64_t from, int64_t to, int64_t row, Tape& tape, Ring& ring) const {
        const int64_t index = from / segment * batch + row;
        std::copy_n((const Vec*)P::saved_memory + index * memory_size(), memory_size(), tape.steps[0].memory);
        std::copy_n((const Vec*)P::saved_weights + index * weights_size(), weights_size(), tape.steps[0].previous);
        for (int64_t step = from; step < to && active(row, step); step++) {
            Step& kept = tape.steps[step - from];
            kept.parameters = parameters_of(step, row);
            address(kept, ring);
            write_and_read(kept, nullptr, nullptr);
        }
    }

    void start_backward(int64_t row, Gradient& carried) const {
        auto copy = [&](int64_t leaf, int64_t size, Number* to) {
            if (P::d_last[leaf]) std::copy_n(P::d_last[leaf] + row * size, size, to);
        };
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            copy(layer * leaves, hidden_size, carried.hidden.data() + layer * hidden_size);
            if (controller == lstm) copy(layer * leaves + 1, hidden_size, carried.cell.data() + layer * hidden_size);
        }
        copy(table, reads * width, carried.reads.data());
        if (P::d_last[table + 1]) gather(P::d_last[table + 1] + row * slots * width, carried.memory.data());
        gather_weights(P::d_last, row, carried.weights.data());
    }

    void finish_backward(int64_t row, const Gradient& carried) const {
        auto copy = [&](int64_t leaf, int64_t size, const Number* from) {
            if (P::d_first[leaf]) std::copy_n(from, size, P::d_first[leaf] + row * size);
        };
        for (int64_t layer = 0; recurrent && layer < layers; layer++) {
            copy(layer * leaves, hidden_size, carried.hidden.data() + layer * hidden_size);
            if (controller == lstm) copy(layer * leaves + 1, hidden_size, carried.cell.data() + layer * hidden_size);
        }
        copy(table, reads * width, carried.reads.data());
        if (P::d_first[table + 1]) scatter(carried.memory.data(), P::d_first[table + 1] + row * slots * width);
        scatter_weights(carried.weights.data(), P::d_first, row);
    }

    // Adds the gradient of features first .. first + count of the output.
    void add_output_gradient(int64_t step, int64_t row, int64_t first, int64_t count, Number* to) const {
        if (!P::d_features) return;
        const Number* from = P::d_features + (row * time + step) * (hidden_size + reads * width) + first;
        for (int64_t at = 0; at < count; at++) to[at] += from[at];
    }

    void move_heads_backward(int64_t step, int64_t row, const Step& tape, Gradient& carried, Ring& ring) const {
        Number* gradient = d_units_of(layers, step, row);
        add_output_gradient(step, row, hidden_size, reads * width, carried.reads.data());
        write_and_read_backward(tape, carried.reads.data(), gradient, carried);
        address_backward(tape, gradient, carried, ring);
        squash_backward(units_of(layers, step, row), tape.parameters, gradient);
    }

    void backward_rows(int64_t first, int64_t count, const std::vector<Panels<Number>>& products) const {
        std::vector<Tape> tapes;
        std::vector<Gradient> carried(count, Gradient(*this));
        for (int64_t row = 0; row < count; row++) {
            tapes.emplace_back(*this, segment, false);
            start_backward(first + row, carried[row]);
        }
        Ring ring(slots, shift_range, blocks);
        int64_t widest = hidden_size;
        for (int64_t layer = 0; layer < layers; layer++) widest = std::max(widest, features(layer));
        std::vector<Number> d_operand(count * widest), d_above(count * widest);
        for (int64_t from = (time - 1) / segment * segment; from >= 0; from -= segment) {
            const int64_t to = std::min(from + segment, time);
            for (int64_t row = 0; row < count; row++) replay(from, to, first + row, tapes[row], ring);
            for (int64_t step = to - 1; step >= from; step--)
                for (int64_t layer = layers; layer >= 0; layer--) {
                    for (int64_t row = 0; row < count; row++) {
                        if (!active(first + row, step))
                            std::fill_n(d_units_of(layer, step, first + row), outputs(layer), Number(0));
                        else if (layer == layers)
                            move_heads_backward(step, first + row, tapes[row].steps[step - from], carried[row], ring);
                        else control_backward(layer, step, first + row, &d_above[row * widest], carried[row]);
                    }
                    products[layer].apply(count, d_units_of(layer, step, first), outputs(layer), d_operand.data(), widest);
                    for (int64_t row = 0; row < count; row++)
                        if (active(first + row, step)) pass_down(layer, step, first + row, &d_operand[row * widest], carried[row]);
                    std::swap(d_operand, d_above);
                }
        }
        for (int64_t row = 0; row < count; row++) finish_backward(first + row, carried[row]);
    }

    // The gradient of what a projection saw goes to the layer below (where it stands), the step before and the input.
    void pass_down(int64_t layer, int64_t step, int64_t row, Number* d_operand, Gradient& carried) const {
        if (layer == layers) {
            add_output_gradient(step, row, 0, hidden_size, d_operand);
            return;
        }
        Number* d_hidden = carried.hidden.data() + layer * hidden_size;
        for (int64_t at = 0; at < recurrent * hidden_size; at++) d_hidden[at] += d_operand[below(layer) + at];
        if (layer) return;
        std::copy_n(d_operand + input_size, reads * width, carried.reads.data());
        if (P::d_input) std::copy_n(d_operand, input_size, P::d_input + (row * time + step) * input_size);
    }

    // The gradient of a projection's weights: what it saw times the gradient of what it gave, summed over all steps,
    // as many rows at a time as stay in the nearest cache.
    void weights_backward(int64_t layer) const {
        const int64_t in = features(layer), out = outputs(layer), rows_in_cache = 128;
        std::fill_n(P::d_weight[layer], (1 + in) * out, Number(0));
        for (int64_t first = 0; first < time * batch; first += rows_in_cache) {
            const int64_t end = std::min(first + rows_in_cache, time * batch);
            for (int64_t at = first; at < end; at++)
                for (int64_t unit = 0; unit < out; unit++) P::d_weight[layer][unit] += d_units[layer][at * out + unit];
            auto columns = [&](auto vectors, auto whole, int64_t unit) {
                in_tiles<rows_at_once>(in, [&](auto rows, int64_t feature) {
                    weights_tile<rows, vectors, whole>(layer, first, end, feature, unit);
                });
            };
            int64_t unit = 0;
            for (; unit + 2 * L <= out; unit += 2 * L) columns(Constant<2>(), Constant<true>(), unit);
            for (; unit + L <= out; unit += L) columns(Constant<1>(), Constant<true>(), unit);
            if (unit < out) columns(Constant<1>(), Constant<false>(), unit);
        }
    }

    template <int rows, int vectors, bool whole>
    void weights_tile(int64_t layer, int64_t first, int64_t end, int64_t feature, int64_t unit) const {
        const int64_t in = features(layer), out = outputs(layer), left = whole ? L : out - unit;
        const Number *seen = operand[layer] + first * in + feature, *given = d_units[layer] + first * out + unit;
        Number* to = P::d_weight[layer] + (1 + feature) * out + unit;
        Vec total[rows][vectors];
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < vectors; part++) total[row][part] = load(to + row * out + part * L, left);
        for (int64_t at = first; at < end; at++, seen += in, given += out)
            for (int part = 0; part < vectors; part++) {
                const Vec gradient = load(given + part * L, left);
                for (int row = 0; row < rows; row++) total[row][part] += seen[row] * gradient;
            }
        for (int row = 0; row < rows; row++)
            for (int part = 0; part < vectors; part++) store(to + row * out + part * L, total[row][part], left);
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        const std::vector<Panels<Number>> products = panels(backward);
        for (int64_t first = 0; first < batch; first += rows_together()) {
            const int64_t count = std::min(rows_together(), batch - first);
            if (backward) backward_rows(first, count, products);
            else forward_rows(first, count, products);
        }
        for (int64_t layer = 0; backward && layer <= layers; layer++)
            if (P::d_weight[layer]) weights_backward(layer);
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives 0, or 1 when there is not enough memory.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
int lanes_of_a_vector() { return lanes<NUMBER>; }
}
