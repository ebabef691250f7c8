"""Sends a question that is written as JSON, as a tool that speaks gRPC by reflection would: ADDRESS FILE."""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "magistrate.v1.AuthorizationService"

with grpc.insecure_channel(sys.argv[1]) as channel:
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(SERVICE).FindMethodByName("Check")
    request_class, response_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    with open(sys.argv[2], encoding="utf-8") as file:
        request = json_format.Parse(file.read(), request_class(), descriptor_pool=pool)
    check = channel.unary_unary(
        f"/{SERVICE}/Check",
        request_serializer=request_class.SerializeToString,
        response_deserializer=response_class.FromString,
    )
    answer = check(request, timeout=60)
    print(method.output_type.fields_by_name["decision"].enum_type.values_by_number[answer.decision].name)
