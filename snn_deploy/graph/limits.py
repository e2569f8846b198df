"""What a model may ask for: every bound on the memory and time that a stranger's file can take, with its reason.

A small file ends within 5 seconds and 1 GiB, whatever it asks for: work is counted before it is done, over the whole
file. Published U-Nets stay far below each bound; large weights count only where they are made, not where the file
brings them.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_NODES = 10_000
"""Nodes of a file, those of functions as often as they are called; the deepest published U-Nets have a fifth of that."""

MAX_ENTRIES = 2**18
"""Nodes, inputs, outputs, attributes and weights that a file lists; a node has ten or so."""

MAX_FUNCTION_BYTES = 2**26
"""Bytes of the nodes that function calls stand for; exporters put weights into initializers, not into functions."""

MAX_OUTPUTS = 256
"""Outputs of a model; deep supervision has five."""

MAX_BATCH = 2**12
"""Largest batch that a file may fix; the network itself takes any."""

MAX_CHANNELS = 2**13
"""Channels of a map; the widest published U-Nets have a quarter of it."""

MAX_SIDE = 2**15
"""Height and width of a map."""

MAX_NEURONS = 2**27
"""Values of one map; the largest of a 64-channel U-Net on 1024 x 1024 pixels has half of it."""

MAX_GROWTH = 2**14
"""Values of all maps together for each pixel of the input; a 64-channel U-Net has 2,000."""

MIN_GROWTH = 2**26
"""Values of all maps that even the smallest input may lead to: super-resolution starts from few pixels."""

MAX_CONSTANTS = 2**24
"""Numbers that all constants computed at import may have together; weights are stored in the file, not computed."""

MAX_CONSTANT_WORK = 2**26
"""Numbers that are read and written while constants are computed: about a second."""

MIN_CONSTANT_WORK = 2**14
"""What one such node counts at least: the evaluator needs a tenth of a millisecond to start."""

MAX_WEIGHTS = 2**24
"""Weights (float64) that operators may make beyond the bytes of the file: selections, resizing, one tensor used twice."""

MAX_EXTENT = 4096
"""Longest axis that is resized or rearranged pixel by pixel; its unit vectors take 64 MiB as float32."""

MAX_MATRIX_WORK = 2**25
"""Multiplications in matrices that onnxruntime computes for resizing and averaging: about a second."""

MIN_MATRIX_WORK = 2**14
"""What one such matrix counts at least: onnxruntime needs a millisecond to start."""

MAX_LINKS = 3 * 2**22
"""Pixel pairs that one resampling may join; bilinear resizing to 1024 x 1024 pixels has a third of it."""

MAX_LIST = 2**12
"""Longest list of axes, sizes or amounts; real ones have two to eight entries, splits as many as there are channels."""

MAX_WINDOW = 2**8
"""Pixels of a max-pooling window; spatial pyramids use 13 x 13."""

MAX_RELAYS = 2**10
"""Populations of all max-pooling tournaments; a spatial pyramid has 275, a 2x2 pool four."""

MAX_TAPS = 2**25
"""Weights of all max-pooling tournaments; a spatial pyramid of 512 channels has 18 million."""

MAX_TERMS = 2**13
"""Summands of all values between two layers; FC-DenseNet103 has 1,500."""

MAX_NAMES = 2**22
"""Names of nodes that all these summands remember: a thousand linear operators in a row."""

MIN_FORM_WEIGHTS, MAX_FORM_GROWTH = 2**26, 4
"""Weights (float64) that linear operators may be combined into: this many, or the model's own that many times."""

MAX_BIASES = 2**24
"""Biases that differ from pixel to pixel (a constant added before zero padding): 64 channels on 512 x 512 pixels."""

MAX_BIAS_WORK = 2**29
"""Multiplications for such biases: about a second."""


MAX_CALIBRATION_BYTES = 2**33
"""Memory of histograms and maps while activations are measured; FC-DenseNet103 takes a third of it."""


@dataclass
class Budget:
    """What of a bounded amount is spent; ``failure`` is raised by whoever asks for more, before it is used."""

    limit: int
    unit: str
    failure: type[Exception]
    spent: int = 0

    def check(self, amount: int, where: str = "") -> None:
        """``failure`` where ``amount`` more would exceed the limit."""
        if self.spent + amount > self.limit:
            what = f"{self.spent + amount} {self.unit}" + (", those of nodes before it included" if self.spent else "")
            raise self.failure(f"{where}: needs {what}; at most {self.limit} are allowed".removeprefix(": "))

    def spend(self, amount: int, where: str = "") -> None:
        """Use ``amount``, or raise ``failure``."""
        self.check(amount, where)
        self.spent += amount
