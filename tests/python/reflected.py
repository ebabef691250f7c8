"""A client that learns everything from the server's reflection: ADDRESS."""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "magistrate.v1.AuthorizationService"

with grpc.insecure_channel(sys.argv[1]) as channel:
    reflection = ProtoReflectionDescriptorDatabase(channel)
    services = reflection.get_services()
    assert SERVICE in services and "grpc.health.v1.Health" in services, services

    pool = DescriptorPool(reflection)
    method = pool.FindServiceByName(SERVICE).FindMethodByName("Check")
    request_class, response_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    check = channel.unary_unary(
        f"/{SERVICE}/Check",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )

    def decision(type_name, id):
        request = request_class(action="readMessage")
        request.principal.uid.type, request.principal.uid.id = f"Company::{type_name}", id
        request.resource.uid.type, request.resource.uid.id = "Company::Message", "m-1001"
        answer = check(request, timeout=60)
        return method.output_type.fields_by_name["decision"].enum_type.values_by_number[answer.decision].name

    assert decision("User", "ana") == "DECISION_ALLOW"
    assert decision("Service", "payments") == "DECISION_DENY"

print("ok")
