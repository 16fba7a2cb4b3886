"""LitServe around the seed's model: python litserve_app.py PORT, MODEL in the environment."""
import os
import sys

import litserve
import torch


class DoubleIt(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(1)
        self.model = torch.jit.load(os.environ["MODEL"]).eval()

    def decode_request(self, request):
        given = request["inputs"][0]
        return torch.tensor(given["data"], dtype=torch.int64).reshape(given["shape"])

    def predict(self, x):
        with torch.inference_mode():
            return self.model(x)

    def encode_response(self, output):
        return {"outputs": [{"name": "output", "data": output.flatten().tolist()}]}


if __name__ == "__main__":
    api = DoubleIt()
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, api_path="/v2/models/doubleit/infer")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
