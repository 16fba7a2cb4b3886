#!/usr/bin/python3
"""Learns the weights of iris and digits and writes weights/*.json; make_models.py makes the model files from those.

    /usr/bin/python3 training/train.py

Seeds are fixed and one thread computes in double precision: the same machine gives the same weights again, another one
the same accuracy to a flower or a digit. Weights are rounded to five digits.
"""
import json

import torch
from torch import nn

import networks


def learn(module, inputs, targets, rows, epochs, rate):
    module.double().train()
    x, y = torch.tensor(inputs[rows]), torch.tensor(targets[rows])
    optimizer = torch.optim.Adam(module.parameters(), lr=rate, weight_decay=1e-4)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.nll_loss(torch.log(module(x[batch])["probabilities"] + 1e-12), y[batch])
            loss.backward()
            optimizer.step()


def save_weights(module, name):
    weights = {}
    for key, value in module.state_dict().items():
        data = [float(f"{number:.5g}") for number in value.flatten().tolist()]
        weights[key] = {"shape": list(value.shape), "data": data}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in weights.items()]
    (networks.HERE / "weights" / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    torch.set_num_threads(1)
    for name, module_class, data, epochs, rate in (
            ("iris", networks.Iris, networks.iris_data, 200, 0.01),
            ("digits", networks.Digits, networks.digits_data, 60, 0.005)):
        torch.manual_seed(7)
        inputs, targets = data()
        train, test = networks.split(len(inputs))
        module = module_class()
        if name == "iris":
            module.mean = torch.tensor(inputs[train].mean(0))
            module.scale = torch.tensor(1 / inputs[train].std(0))
        learn(module, inputs, targets, train, epochs, rate)
        save_weights(module, name)
        judged = networks.load_weights(module_class(), name)
        print(f"{name}: accuracy {networks.accuracy(judged, inputs, targets, train):.4f} on {len(train)} rows learnt,"
              f" {networks.accuracy(judged, inputs, targets, test):.4f} on {len(test)} held back")


if __name__ == "__main__":
    main()
