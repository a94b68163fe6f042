// Weighted bags of words, forward and backward: sentences by several word tables in one pass over their words.
//
// The definition is Sentences in encoding.py and eq. 1 in entnet.py. The numbers of all tables for a word, for a row's
// bags and for a weight are kept side by side, in whole vectors with zeros after the end.

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "numbers.h"

namespace {

// Sizes and tensors, laid out as bag.py fills it in.
template <class Number> struct Problem {
    int64_t rows, words, vocabulary, width, tables;
    int64_t own;                   // whether every row has weights of its own
    const int64_t* ids;            // (row, word); 0 is worth nothing
    const Number* weights;         // (word, width), or (row, word, width)
    const Number* const* vectors;  // tables (vocabulary, width)
    Number* const* bags;           // for every table (row, width)
    const Number* const* d_bags;   // gradients from here on; null for none
    Number* const* d_vectors;
    Number* d_weights;
};

template <class Number> class Sequence : Problem<Number> {
    typedef Lanes<Number> Vec;
    typedef Problem<Number> P;
    using P::rows, P::words, P::vocabulary, P::width, P::tables;
    static constexpr int L = lanes<Number>;

    const int64_t vectors = (tables * width + L - 1) / L;  // of all tables side by side

    // Rows of one table to their place among the others, and back.
    void put(int64_t count, const Number* from, int64_t table, Vec* to) const {
        for (int64_t row = 0; row < count; row++)
            std::copy_n(from + row * width, width, (Number*)(to + row * vectors) + table * width);
    }
    void take(int64_t count, const Vec* from, int64_t table, Number* to) const {
        for (int64_t row = 0; row < count; row++)
            std::copy_n((const Number*)(from + row * vectors) + table * width, width, to + row * width);
    }

    // A word that counts: where its vectors and its weights begin.
    struct Word { int64_t vectors, weights; };

    struct Work {
        std::vector<Vec> weights, vectors, bag;
        std::vector<Word> words;                  // of one row
        std::vector<Vec> d_weights, d_vectors;    // empty where nobody asks for them
        Work(const Sequence& of, bool backward)
            : weights(of.words * of.vectors), vectors(!backward || of.d_weights ? of.vocabulary * of.vectors : 0),
              bag(of.vectors), d_weights(backward && of.d_weights ? of.words * of.vectors : 0),
              d_vectors(backward ? of.vocabulary * of.vectors : 0) {
            for (int64_t table = 0; table < of.tables; table++) {
                if (!vectors.empty()) of.put(of.vocabulary, of.P::vectors[table], table, vectors.data());
                if (!of.own) of.put(of.words, of.P::weights, table, weights.data());
            }
        }
    };

    void read_row(int64_t row, Work& work) const {
        work.words.clear();
        for (int64_t place = 0; place < words; place++) {
            const int64_t id = P::ids[row * words + place];
            if (id < 0 || id >= vocabulary) throw std::out_of_range("id");
            if (id) work.words.push_back({id * vectors, place * vectors});
        }
        for (int64_t table = 0; P::own && table < tables; table++)
            put(words, P::weights + row * words * width, table, work.weights.data());
    }

    void forward_row(int64_t row, Work& work) const {
        in_tiles<8>(vectors, [&](auto count, int64_t first) {
            Vec total[count] = {};
            for (const Word& word : work.words)
                for (int part = 0; part < count; part++)
                    total[part] += work.weights[word.weights + first + part] * work.vectors[word.vectors + first + part];
            std::copy_n(total, count, &work.bag[first]);
        });
        for (int64_t table = 0; table < tables; table++) take(1, work.bag.data(), table, P::bags[table] + row * width);
    }

    void backward_row(int64_t row, Work& work) const {
        for (int64_t table = 0; table < tables; table++)
            if (P::d_bags[table]) put(1, P::d_bags[table] + row * width, table, work.bag.data());
        for (const Word& word : work.words) {
            for (int64_t j = 0; j < vectors; j++)
                work.d_vectors[word.vectors + j] += work.weights[word.weights + j] * work.bag[j];
            for (int64_t j = 0; P::d_weights && j < vectors; j++)
                work.d_weights[word.weights + j] += work.vectors[word.vectors + j] * work.bag[j];
        }
        if (!P::d_weights || !P::own) return;
        give_weights(work, P::d_weights + row * words * width);
        std::fill(work.d_weights.begin(), work.d_weights.end(), Vec{});
    }

    // The gradients of weights, of all tables together.
    void give_weights(const Work& work, Number* to) const {
        for (int64_t place = 0; place < words; place++, to += width) {
            const Number* from = (const Number*)&work.d_weights[place * vectors];
            std::copy_n(from, width, to);
            for (int64_t at = width; at < tables * width; at++) to[at % width] += from[at];
        }
    }

public:
    Sequence(const Problem<Number>& problem) : Problem<Number>(problem) {}

    void run(bool backward) const {
        Work work(*this, backward);
        for (int64_t row = 0; row < rows; row++) {
            read_row(row, work);
            if (backward) backward_row(row, work);
            else forward_row(row, work);
        }
        if (!backward) return;
        for (int64_t table = 0; table < tables; table++)
            if (P::d_vectors[table]) take(vocabulary, work.d_vectors.data(), table, P::d_vectors[table]);
        if (P::d_weights && !P::own) give_weights(work, P::d_weights);
    }
};

}  // namespace

// For one kind of number, NUMBER. Each gives what `run` does.
extern "C" {
int forward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, false); }
int backward(const Problem<NUMBER>* problem) { return run<Sequence<NUMBER>>(*problem, true); }
int size_of_a_number() { return sizeof(NUMBER); }
}
