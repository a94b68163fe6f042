// A memory of slots, how it is looked through, and how it is written (Graves et al. 2014, arXiv 1410.5401, eqs. 2 to 6).
//
// A row's memory is kept as blocks of as many slots as a vector has lanes: block[width] holds one column of these
// slots. Lanes after the last slot hold zeros. What heads have for every slot is (head, block).

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "numbers.h"

namespace {

// Heads that look for slots like their keys. Columns count by the squares of their masks where there are masks.
template <class Number> struct Search {
    typedef Lanes<Number> Vec;
    int64_t heads;
    const Vec* memory;
    const Number *key, *mask, *strength;  // (head, width); (head, width), or null; (head)
    Vec *similarity, *content;            // (head, block): cosines, and the weightings of eq. 5
    Vec* scale;                           // 1 / |M(i)|: (block), with masks (head, block)
    Number *key_scale, *columns, *query;  // 1 / |k|: (head); with masks m^2 and m^2 k: (head, width)
};

// A row's part of a tensor, which may be missing.
template <class Pointer> Pointer row_of(Pointer whole, int64_t row, int64_t size) {
    return whole ? whole + row * size : whole;
}

template <class Number, class Told> class Slots : protected Told {
protected:
    typedef Lanes<Number> Vec;
    using Told::slots, Told::width, Told::writes;
    static constexpr int L = lanes<Number>;

    const int64_t blocks = (slots + L - 1) / L, memory_size = blocks * width;
    const Number smallest = std::max<Number>(Told::norm_floor * Told::norm_floor, std::numeric_limits<Number>::min());
    const Number floored = 1 / std::sqrt(smallest);

    explicit Slots(const Told& problem) : Told(problem) {}

    // ------------------------------------------------------------------------------------------ layouts

    void gather_memory(const Number* from, Vec* to) const {  // (slot, width) to (block, width, lane)
        std::fill_n(to, memory_size, Vec{});
        for (int64_t slot = 0; from && slot < slots; slot++)
            for (int64_t column = 0; column < width; column++)
                ((Number*)(to + slot / L * width + column))[slot % L] = from[slot * width + column];
    }
    void scatter_memory(const Vec* from, Number* to) const {
        for (int64_t slot = 0; to && slot < slots; slot++)
            for (int64_t column = 0; column < width; column++)
                to[slot * width + column] = ((const Number*)(from + slot / L * width + column))[slot % L];
    }
    void gather_rows(int64_t count, const Number* from, Vec* to) const {  // (row, slot) to (row, block, lane)
        std::fill_n(to, count * blocks, Vec{});
        for (int64_t row = 0; from && row < count; row++)
            std::memcpy(to + row * blocks, from + row * slots, slots * sizeof(Number));
    }
    void scatter_rows(int64_t count, const Vec* from, Number* to) const {
        for (int64_t row = 0; to && row < count; row++)
            std::memcpy(to + row * slots, from + row * blocks, slots * sizeof(Number));
    }

    // Calls function(how many, first) for all blocks, four at a time as long as there are so many.
    template <class Function> void each_block(Function function) const {
        int64_t block = 0;
        for (; block + 4 <= blocks; block += 4) function(Constant<4>(), block);
        for (; block < blocks; block++) function(Constant<1>(), block);
    }

    // ------------------------------------------------------------------------------------------ looking

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

    // Content addressing, eqs. 5 and 6.
    void find(const Search<Number>& at) const {
        if (at.mask) find_where<true>(at);
        else find_where<false>(at);
    }

    template <bool masked> void find_where(const Search<Number>& at) const {
        for (int64_t head = 0; head < at.heads; head++) {
            Number square = 0;
            for (int64_t column = head * width; column < (head + 1) * width; column++) {
                const Number key = at.key[column];
                if constexpr (masked) {
                    at.columns[column] = at.mask[column] * at.mask[column];
                    at.query[column] = at.columns[column] * key;
                }
                square += key * (masked ? at.query[column] : key);
            }
            at.key_scale[head] = 1 / std::sqrt(square < smallest ? smallest : square);
        }
        each_block([&](auto together, int64_t block) {
            constexpr int most = together > 1 ? 2 : 1;
            in_tiles<most>(at.heads, [&](auto heads, int64_t head) { compare<masked, together, heads>(at, block, head); });
        });
        for (int64_t head = 0; head < at.heads; head++) {
            Vec* content = at.content + head * blocks;
            for (int64_t block = 0; block < blocks; block++)
                content[block] = at.strength[head] * at.similarity[head * blocks + block];
            softmax(content);
        }
    }

    // Cosines of some heads' keys with the slots of some blocks.
    template <bool masked, int count, int heads> void compare(const Search<Number>& at, int64_t block, int64_t head) const {
        constexpr int scales = masked ? heads : 1;
        const Vec* memory = at.memory + block * width;
        const Number *query = (masked ? at.query : at.key) + head * width, *share = masked ? at.columns + head * width : nullptr;
        Vec dot[heads][count]{}, square[scales][count]{};
        for (int64_t column = 0; column < width; column++)
            for (int one = 0; one < count; one++) {
                const Vec value = memory[one * width + column];
                for (int own = 0; own < heads; own++) dot[own][one] += query[own * width + column] * value;
                for (int own = 0; own < scales; own++)
                    square[own][one] += masked ? share[own * width + column] * value * value : value * value;
            }
        for (int own = 0; own < heads; own++)
            for (int one = 0; one < count; one++) {
                Vec& scale = at.scale[masked * (head + own) * blocks + block + one];
                if (own < scales) scale = inverse_root<Number>(square[own][one] < smallest ? all(smallest) : square[own][one]);
                at.similarity[(head + own) * blocks + block + one] = dot[own][one] * scale * at.key_scale[head + own];
            }
    }

    // Vectors that `find_backward` needs for heads.
    int64_t search_room(int64_t heads) const { return 2 * heads * width; }

    // Backward through them: the gradient of the weightings (and, in place, of the cosines) to those of memory (added),
    // keys, masks and strengths. `room` holds search_room vectors.
    void find_backward(const Search<Number>& at, Vec* d_content, Vec* d_memory, Number* d_key, Number* d_mask,
                       Number* d_strength, Vec* room) const {
        if (at.mask) find_where_backward<true>(at, d_content, d_memory, d_key, d_mask, d_strength, room);
        else find_where_backward<false>(at, d_content, d_memory, d_key, d_mask, d_strength, room);
    }

    template <bool masked>
    void find_where_backward(const Search<Number>& at, Vec* d_content, Vec* d_memory, Number* d_key, Number* d_mask,
                             Number* d_strength, Vec* room) const {
        Vec *d_query = room, *squares = room + at.heads * width;
        std::fill_n(room, search_room(at.heads), Vec{});
        for (int64_t head = 0; head < at.heads; head++) {
            Vec* d_similarity = d_content + head * blocks;
            softmax_backward(at.content + head * blocks, d_similarity);
            Vec sum_of_strength{};
            for (int64_t block = 0; block < blocks; block++) {
                sum_of_strength += d_similarity[block] * at.similarity[head * blocks + block];
                d_similarity[block] *= at.strength[head];
            }
            d_strength[head] = sum<Number>(sum_of_strength);
        }
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec* memory = at.memory + block * width;
            Vec *to = d_memory + block * width, along[count]{};  // along the memory: of its norm
            auto close = [&](const Vec* scale) {
                for (int one = 0; one < count; one++)
                    along[one] *= scale[one] < floored ? scale[one] * scale[one] : Vec{};
            };
            if constexpr (!masked) {
                for (int64_t head = 0; head < at.heads; head++)
                    for (int one = 0; one < count; one++) {
                        const int64_t place = head * blocks + block + one;
                        along[one] += d_content[place] * at.similarity[place];
                    }
                close(at.scale + block);
            }
            for (int64_t head = 0; head < at.heads; head++) {
                const Vec* scale = at.scale + masked * head * blocks + block;
                const Number* query = (masked ? at.query : at.key) + head * width;
                if constexpr (masked) {
                    for (int one = 0; one < count; one++) {
                        const int64_t place = head * blocks + block + one;
                        along[one] = d_content[place] * at.similarity[place];
                    }
                    close(scale);
                }
                Vec d_dot[count];
                for (int one = 0; one < count; one++)
                    d_dot[one] = d_content[head * blocks + block + one] * scale[one] * at.key_scale[head];
                for (int64_t column = 0; column < width; column++) {
                    Vec sum = d_query[head * width + column], square = squares[head * width + column];
                    for (int one = 0; one < count; one++) {
                        const Vec value = memory[one * width + column];
                        sum += d_dot[one] * value;
                        Vec d_value = to[one * width + column] + d_dot[one] * query[column];
                        if constexpr (masked) {
                            d_value -= along[one] * at.columns[head * width + column] * value;
                            square += along[one] * value * value;
                        } else if (head == 0) d_value -= along[one] * value;
                        to[one * width + column] = d_value;
                    }
                    d_query[head * width + column] = sum;
                    if constexpr (masked) squares[head * width + column] = square;
                }
            }
        });
        for (int64_t head = 0; head < at.heads; head++) {
            Vec total{};
            for (int64_t block = 0; block < blocks; block++)
                total += d_content[head * blocks + block] * at.similarity[head * blocks + block];
            const Number scale = at.key_scale[head];
            const Number along = scale < floored ? sum<Number>(total) * scale * scale : 0;
            for (int64_t column = head * width; column < (head + 1) * width; column++) {
                const Number key = at.key[column], gradient = sum<Number>(d_query[column]);
                if constexpr (masked) {
                    const Number d_columns = gradient * key - (along * key * key + sum<Number>(squares[column])) / 2;
                    d_key[column] = (gradient - along * key) * at.columns[column];
                    d_mask[column] = 2 * at.mask[column] * d_columns;
                } else d_key[column] = gradient - along * key;
            }
        }
    }

    // ------------------------------------------------------------------------------------------ writing

    // Eqs. 3 and 4, after which read(how many, block, column, before, after) is told each column of some blocks.
    // retained: how much of every slot there is to write on, (block), or null for all.
    template <class Read>
    void write(const Vec* memory, Vec* after, const Vec* weights, const Number* erase, const Number* add,
               const Vec* retained, Read read) const {
        each_block([&](auto together, int64_t block) {
            constexpr int count = together;
            const Vec *from = memory + block * width, *weight = weights + block;
            Vec* to = after + block * width;
            for (int64_t column = 0; column < width; column++) {
                Vec before[count], value[count];
                for (int one = 0; one < count; one++) {
                    before[one] = value[one] = from[one * width + column];
                    if (retained) value[one] *= retained[block + one];
                }
                for (int64_t head = 0; head < writes; head++) {
                    const Number share = erase[head * width + column];
                    for (int one = 0; one < count; one++)
                        value[one] -= value[one] * (weight[head * blocks + one] * share);
                }
                for (int64_t head = 0; head < writes; head++) {
                    const Number more = add[head * width + column];
                    for (int one = 0; one < count; one++) value[one] += weight[head * blocks + one] * more;
                }
                for (int one = 0; one < count; one++) to[one * width + column] = value[one];
                read(together, block, column, before, value);
            }
        });
    }

    // What the backward pass through them goes by: weights (head, block), erase and add (head, width), retained (block)
    // or null; gradients of memory, weights and retained (added), of erase and add in lanes (added); room for
    // (head, 4, width) vectors.
    struct Written {
        const Vec* memory;
        const Vec* weights;
        const Number *erase, *add;
        const Vec* retained;
        Vec *d_memory, *d_weights, *d_erase, *d_add, *d_retained, *room;
    };

    // Backward through eq. 4 (if `adds`) and eq. 3 (if `erases`) for one head and some blocks whose memory was `before`.
    template <int count>
    void head_backward(const Written& at, int64_t head, int64_t block, const Vec* before, bool adds, bool erases) const {
        const Vec* weight = at.weights + head * blocks + block;
        Vec* d_memory = at.d_memory + block * width;
        Vec *d_erase = at.d_erase + head * width, *d_add = at.d_add + head * width, total[count]{};
        for (int64_t column = 0; column < width; column++) {
            Vec gradient[count];
            for (int one = 0; one < count; one++) gradient[one] = d_memory[one * width + column];
            if (adds) {
                const Number add = at.add[head * width + column];
                Vec sum = d_add[column];
                for (int one = 0; one < count; one++) {
                    total[one] += add * gradient[one];
                    sum += weight[one] * gradient[one];
                }
                d_add[column] = sum;
            }
            if (erases) {
                const Number erase = at.erase[head * width + column];
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
        for (int one = 0; one < count; one++) at.d_weights[head * blocks + block + one] += total[one];
    }

    // Backward through eqs. 3 and 4 for some blocks.
    template <int count> void write_backward(const Written& at, int64_t block) const {
        const int64_t size = count * width, last = writes - 1;
        const Vec* memory = at.memory + block * width;
        // The memory before each head's erasing.
        auto before = [&](int64_t head) { return head || at.retained ? at.room + head * size : memory; };
        if (at.retained)
            for (int64_t place = 0; place < size; place++) at.room[place] = memory[place] * at.retained[block + place / width];
        for (int64_t head = 0; head < last; head++)
            for (int64_t place = 0; place < size; place++) {
                const Vec weight = at.weights[head * blocks + block + place / width];
                const Vec kept = before(head)[place];
                at.room[(head + 1) * size + place] = kept - kept * (weight * at.erase[head * width + place % width]);
            }
        for (int64_t head = 0; head < last; head++) head_backward<count>(at, head, block, nullptr, true, false);
        head_backward<count>(at, last, block, before(last), true, true);
        for (int64_t head = last - 1; head >= 0; head--) head_backward<count>(at, head, block, before(head), false, true);
        for (int64_t place = 0; at.retained && place < size; place++) {
            Vec& gradient = at.d_memory[block * width + place];
            at.d_retained[block + place / width] += gradient * memory[place];
            gradient *= at.retained[block + place / width];
        }
    }

    // Backward through eq. 2 for some blocks: the gradient of what was read to those of weights (head, block) and memory.
    template <int count>
    void read_backward(int64_t heads, const Vec* readable, const Vec* weights, const Number* d_reads, int64_t block,
                       Vec* d_weights, Vec* d_memory) const {
        readable += block * width;
        d_memory += block * width;
        for (int64_t head = 0; head < heads; head++) {
            const Vec* weight = weights + head * blocks + block;
            Vec total[count]{};
            for (int64_t column = 0; column < width; column++) {
                const Number gradient = d_reads[head * width + column];
                for (int one = 0; one < count; one++) {
                    total[one] += gradient * readable[one * width + column];
                    d_memory[one * width + column] += weight[one] * gradient;
                }
            }
            for (int one = 0; one < count; one++) d_weights[head * blocks + block + one] += total[one];
        }
    }
};

}  // namespace
