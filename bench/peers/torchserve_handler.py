"""The seed's model as a TorchServe handler, for torch-model-archiver; TorchServe calls handle() with what one batch brings."""
import json
import os

import torch


class DoubleIt:
    def initialize(self, context):
        torch.set_num_threads(1)
        properties, manifest = context.system_properties, context.manifest["model"]
        self.model = torch.jit.load(os.path.join(properties["model_dir"], manifest["serializedFile"])).eval()
        self.initialized = True

    def handle(self, data, context):
        answers = []
        for row in data:
            body = row.get("body") or row.get("data")
            given = (json.loads(body) if isinstance(body, (bytes, bytearray, str)) else body)["inputs"][0]
            with torch.inference_mode():
                output = self.model(torch.tensor(given["data"], dtype=torch.int64).reshape(given["shape"]))
            answers.append({"outputs": [{"name": "output", "data": output.flatten().tolist()}]})
        return answers
