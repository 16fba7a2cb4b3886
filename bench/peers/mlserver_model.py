"""The seed's model as an MLServer runtime; model-settings.json beside a copy of it names this class."""
import os

import torch
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class DoubleIt(MLModel):
    async def load(self) -> bool:
        torch.set_num_threads(1)
        self.model = torch.jit.load(os.environ["MODEL"]).eval()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = torch.from_numpy(NumpyCodec.decode_input(payload.inputs[0]))
        with torch.inference_mode():
            output = self.model(x).numpy()
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("output", output)])
