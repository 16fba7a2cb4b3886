"""The wrapper that people write first: FastAPI and PyTorch around the seed's model.

uvicorn fastapi_app:app --port PORT, MODEL in the environment. One worker, as Slipway has one loop thread.
"""
import os

import torch
from fastapi import FastAPI, Request

torch.set_num_threads(1)
model = torch.jit.load(os.environ["MODEL"]).eval()
app = FastAPI()


@app.get("/v2/health/ready")
def ready():
    return {"ready": True}


@app.post("/v2/models/doubleit/infer")
async def infer(request: Request):
    body = await request.json()
    given = body["inputs"][0]
    with torch.inference_mode():
        output = model(torch.tensor(given["data"], dtype=torch.int64).reshape(given["shape"]))
    return {
        "model_name": "doubleit",
        "model_version": "1",
        "outputs": [
            {"name": "output", "datatype": "INT64", "shape": list(output.shape), "data": output.flatten().tolist()}
        ],
    }
