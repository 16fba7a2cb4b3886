"""BentoML around the seed's model: bentoml serve bentoml_app:DoubleIt --port PORT, MODEL in the environment. One worker."""
import os

import bentoml
import torch


@bentoml.service(name="doubleit", workers=1)
class DoubleIt:
    def __init__(self):
        torch.set_num_threads(1)
        self.model = torch.jit.load(os.environ["MODEL"]).eval()

    @bentoml.api(route="/v2/models/doubleit/infer")
    def infer(self, inputs: list) -> dict:
        given = inputs[0]
        with torch.inference_mode():
            output = self.model(torch.tensor(given["data"], dtype=torch.int64).reshape(given["shape"]))
        return {"outputs": [{"name": "output", "data": output.flatten().tolist()}]}
