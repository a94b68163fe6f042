"""Words, colours and marks of models on the page, the same in every chart and table."""

from experiments.figures.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

# By model: words, colour on a light ground (in the figures' colours) and on a dark one, mark. Marks tell apart
# whom colours do not.
MODELS = {
    "ntm-feedforward": ("NTM, feed-forward", BLUE, "#4fa9e2", "circle"),
    "ntm-lstm": ("NTM, LSTM", VERMILION, "#f2874a", "square"),
    "ntm-gru": ("NTM, GRU", ORANGE, "#f0bb45", "diamond"),
    "ntm-rnn-tanh": ("NTM, tanh RNN", SKY, "#8ed0f7", "triangle-up"),
    "ntm-rnn-relu": ("NTM, ReLU RNN", "#7d6608", "#cdb53c", "triangle-down"),
    "lstm": ("LSTM", GREEN, "#35c79d", "cross"),
    "gru": ("GRU", PURPLE, "#e096bf", "x"),
    "rnn-tanh": ("tanh RNN", "#6b7280", "#a3abb8", "pentagon"),
    "rnn-relu": ("ReLU RNN", "#3c3c3c", "#d5d9e0", "hexagon"),
    "memn2n": ("MemN2N", "#5b4fc4", "#a59cff", "star"),
    "kv": ("Key-value memory", "#8a4b2a", "#cf9f7a", "bowtie"),
    "encoder-decoder": ("Encoder-decoder", "#2f6f4f", "#7fc7a1", "hexagram"),
    "attention": ("Attention", "#b3261e", "#f28b82", "star-diamond"),
    "entnet": ("EntNet", "#a8327d", "#ee7fc3", "hourglass"),
}
