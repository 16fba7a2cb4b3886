"""The networks of models/, as PyTorch modules, and the data they learn from."""
import csv
import gzip
import json
import pathlib
from typing import Dict, List

import numpy
import torch
from torch import Tensor, nn

HERE = pathlib.Path(__file__).resolve().parent

IRIS_LABELS = ["setosa", "versicolor", "virginica"]
DIGIT_LABELS = [str(digit) for digit in range(10)]

GOOD_WORDS = """good great excellent wonderful love loved lovely happy best nice amazing awesome fast reliable helpful
 friendly perfect pleasant recommend delicious beautiful brilliant enjoyed superb fantastic""".split()
BAD_WORDS = """bad terrible awful horrible hate hated sad worst nasty slow broken unreliable rude useless poor
 disappointing disappointed boring ugly dirty cold late expensive wrong refund""".split()
# A word counts with what may stick to it.
ENDINGS = ["", ".", ",", "!", "?", ";", ":"]


class DoubleIt(nn.Module):
    """Twice its input, whatever its shape and type."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(x, 2)


class Iris(nn.Module):
    """(batch, 4) measures in cm -> (batch, 3) probabilities: one hidden layer over standardised measures."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("scale", torch.ones(4))
        self.hidden = nn.Linear(4, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, measures: Tensor) -> Dict[str, Tensor]:
        hidden = torch.relu(self.hidden((measures - self.mean) * self.scale))
        return {"probabilities": torch.softmax(self.out(hidden), dim=-1)}


class Digits(nn.Module):
    """(batch, 1, 8, 8) pixels of 0 to 16 -> (batch, 10) probabilities: two convolutions, one dense layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.out = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Dict[str, Tensor]:
        x = torch.max_pool2d(torch.relu(self.first(image / 16.0)), 2)
        x = torch.max_pool2d(torch.relu(self.second(x)), 2)
        return {"probabilities": torch.softmax(self.out(x.flatten(1)), dim=-1)}


def word_scores() -> Dict[str, float]:
    scores = {}
    for words, score in ((GOOD_WORDS, 1.0), (BAD_WORDS, -1.0)):
        for word in words:
            for ending in ENDINGS:
                scores[word + ending] = score
    return scores


class Sentiment(nn.Module):
    """Texts -> "positive", "negative" or "neutral" for each: more good words than bad ones, or fewer."""

    def __init__(self):
        super().__init__()
        self.scores: Dict[str, float] = word_scores()

    def forward(self, text: List[str]) -> List[str]:
        labels: List[str] = []
        for one in text:
            total = 0.0
            for word in one.lower().split():
                if word in self.scores:
                    total += self.scores[word]
            labels.append("positive" if total > 0 else ("negative" if total < 0 else "neutral"))
        return labels


def iris_data():
    """(150, 4) measures and (150,) species."""
    with open(HERE / "data" / "iris.csv", newline="") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    table = numpy.array(rows)
    return table[:, :4], table[:, 4].astype(int)


def digits_data():
    """(1797, 1, 8, 8) pixels and (1797,) digits."""
    with gzip.open(HERE / "data" / "digits.csv.gz", "rt") as file:
        table = numpy.loadtxt(file, delimiter=",")
    return table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].astype(int)


def split(count, seed=0):
    """Rows to learn from and rows to judge by: four to one, shuffled, the same each time."""
    order = numpy.random.RandomState(seed).permutation(count)
    return order[count // 5:], order[:count // 5]


def load_weights(module, name):
    """The committed weights of a network. They are decimal text, so that no machine's arithmetic changes a file."""
    weights = json.loads((HERE / "weights" / f"{name}.json").read_text())
    state = {key: torch.tensor(value["data"]).reshape(value["shape"]) for key, value in weights.items()}
    module.load_state_dict(state)
    return module.eval()


def accuracy(module, inputs, targets, rows):
    with torch.no_grad():
        guesses = module(torch.tensor(inputs[rows], dtype=torch.float32))["probabilities"].argmax(1).numpy()
    return float((guesses == targets[rows]).mean())
