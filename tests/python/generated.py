"""A client generated from proto/ by grpcio-tools: ADDRESS PROTO_DIRECTORY OUTPUT_DIRECTORY."""

import pathlib
import sys

import grpc
import grpc_tools
from grpc_tools import protoc

address, proto, output = sys.argv[1:4]
bundled = pathlib.Path(grpc_tools.__file__).parent / "_proto"
failed = protoc.main(
    [
        "protoc",
        f"-I{proto}",
        f"-I{bundled}",
        f"--python_out={output}",
        f"--grpc_python_out={output}",
        "magistrate/v1/authorization.proto",
    ]
)
assert failed == 0, "the contract does not compile"
sys.path.insert(0, output)

from magistrate.v1 import authorization_pb2 as pb  # noqa: E402
from magistrate.v1 import authorization_pb2_grpc as rpc  # noqa: E402


def entity(type_name, id):
    return pb.Entity(uid=pb.EntityRef(type=f"Company::{type_name}", id=id))


message = entity("Message", "m-1001")
with grpc.insecure_channel(address) as channel:
    service = rpc.AuthorizationServiceStub(channel)

    def check(principal, **more):
        request = pb.CheckRequest(principal=principal, action="readMessage", resource=message, **more)
        return service.Check(request, timeout=60)

    allowed = check(entity("User", "ana"), explain=True)
    assert allowed.decision == pb.DECISION_ALLOW, allowed
    assert list(allowed.determining_policies) == ["messages.owner.read"], allowed
    assert len(allowed.receipt.leaf) == 32, allowed

    denied = check(entity("Service", "payments"))
    assert denied.decision == pb.DECISION_DENY and denied.cause == pb.CAUSE_FORBIDDEN, denied

    try:
        request = pb.CheckRequest(principal=entity("User", "ana"), action="readMessage", resource=message)
        request.context.update({"mood": 1.5})
        service.Check(request, timeout=60)
        raise AssertionError("a number that is not whole was accepted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error

    batch = pb.CheckBatchRequest(action="readMessage", resource=message)
    batch.items.add(principal=entity("User", "ana"))
    batch.items.add(principal=entity("Service", "payments"))
    results = service.CheckBatch(batch, timeout=60).results
    assert [result.response.decision for result in results] == [1, 2], results

print("ok")
