"""Serialises one smallest call for every operation that botocore knows, and prints each as one line of JSON.

Run with the Python that has boto3. Nothing is sent. Arguments: which share of the services (0..n-1), of how many.
"""

import base64
import json
import sys

import botocore.discovery
import botocore.session
from botocore.config import Config
from botocore.tokens import FrozenAuthToken

DEPTH = 12


class Sent(Exception):
    """The request is ready: nothing more has to happen."""


class Tokens:
    """A bearer token, for the few services that do not sign."""

    def load_token(self, **_):
        return FrozenAuthToken("none")


def least(shape, depth=0, called=""):
    """The smallest value of a shape: members that must be there, each as small as it may be."""
    kind = shape.type_name
    if kind == "structure":
        if depth > DEPTH:
            return {}
        members = shape.members
        if getattr(shape, "is_tagged_union", False) and members:
            name = next(iter(members))
            return {name: least(members[name], depth + 1, name)}
        return {name: least(members[name], depth + 1, name) for name in shape.required_members}
    if kind == "list":
        if shape.metadata.get("min", 0) > 0 and depth <= DEPTH:
            return [least(shape.member, depth + 1)]
        return []
    if kind == "map":
        return {}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        if called.lower().endswith("accountid"):
            return "123456789012"
        if called == "KvsARN":  # some hosts are made from these
            return "arn:aws:cloudfront::123456789012:key-value-store/x"
        if called.endswith("ARN"):
            kind = called[:-3].lower()
            return f"arn:aws:kinesis:us-east-1:123456789012:{kind if kind in ('queue', 'channel') else 'stream'}/x"
        if called == "PredictEndpoint":
            return "https://realtime.machinelearning.us-east-1.amazonaws.com"
        return "x" * max(1, min(int(shape.metadata.get("min", 1)), 64))
    if kind in ("integer", "long", "float", "double"):
        return shape.metadata.get("min", 1)
    if kind == "boolean":
        return False
    if kind == "timestamp":
        return 1700000000
    if kind == "blob":
        return b"x"
    return {}


def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def bytes_of(body):
    if body is None:
        return b""
    if hasattr(body, "read"):
        body = body.read()
    return body.encode() if isinstance(body, str) else bytes(body)


def main():
    share, shares = int(sys.argv[1]), int(sys.argv[2])
    session = botocore.session.Session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "none", "none")
    session.register_component("token_provider", Tokens())
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    # Some services are asked for their endpoint first: their usual one will do.
    botocore.discovery.EndpointDiscoveryHandler.discover_endpoint = lambda *_, **__: None
    out = sys.stdout
    services = sorted(session.get_available_services())
    for service in services[share::shares]:
        client = session.create_client(service, region_name="us-east-1", config=config)
        sent = []

        def before_send(request, **_):
            sent.append(request)
            raise Sent()

        client.meta.events.register("before-send", before_send)
        model = client.meta.service_model
        for name in model.operation_names:
            operation = model.operation_model(name)
            params = least(operation.input_shape) if operation.input_shape is not None else {}
            del sent[:]
            why = ""
            try:
                client._make_api_call(name, params)
            except Exception as error:  # a call that cannot be made is told, not hidden
                why = f"{type(error).__name__}: {error}"
            line = {"service": service, "signing": model.signing_name, "operation": name}
            if sent:
                request = sent[0]
                line["method"] = request.method
                line["url"] = request.url
                line["headers"] = [[text(k), text(v)] for k, v in request.headers.items()]
                line["body"] = base64.b64encode(bytes_of(request.body)[:65536]).decode()
            else:
                line["error"] = why
            out.write(json.dumps(line) + "\n")


main()
