"""A model's steps over whole sequences as one operator, forward and backward: `backend = "native"`.

The definition is the plain step; a C++ file in this folder computes the same for NTMs (memnet.native.ntm), another for
DNCs (memnet.native.dnc), one for least recently used access (memnet.native.lrua), one for sparse access memories
(memnet.native.sam_compiled), one for networks with stacks (memnet.native.stack_rnn), one for networks with tapes
(memnet.native.tape), one for entity networks (memnet.native.entnet), one for layers of RNNs, LSTMs and GRUs
(memnet.native.recurrent), one for matrix memories that bind keys to values, of the delta rule and its kin
(memnet.native.associations), one for whole end-to-end memories, several copies at once (memnet.native.memn2n), and one
the bags of words of other models of stories (memnet.native.bag). Around them, in training, stand one for a first state
that is trained (memnet.native.first_state) and one for a readout with its loss (memnet.native.loss), and one for
updates of weights by their gradients (memnet.native.update). They are compiled once, on first use, into a cache
folder: MEMNET_CACHE, else memnet/ in XDG_CACHE_HOME or ~/.cache. What the compiled one of sparse access memories does
not cover another does (memnet.native.sam), which is made of torch's operations and needs no compiler, for any device
and dtype. MEMNET_NATIVE=0 in the environment switches all of them off.
"""
