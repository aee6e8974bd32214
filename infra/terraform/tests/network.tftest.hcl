mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name               = "reminders"
  cluster_name       = "reminders"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
}

run "three_zones" {
  command = plan
  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3 && length(aws_subnet.database) == 3
    error_message = "each kind of subnet is in each of three zones"
  }
  assert {
    condition     = length(distinct([for it in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.database)) : it.cidr_block])) == 9
    error_message = "no two subnets have the same addresses"
  }
  assert {
    condition     = !anytrue([for it in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.database)) : it.map_public_ip_on_launch])
    error_message = "nothing gets a public address by itself"
  }
  assert {
    condition     = alltrue([for it in aws_subnet.private : it.tags["karpenter.sh/discovery"] == "reminders" && it.tags["kubernetes.io/role/internal-elb"] == "1"]) && alltrue([for it in aws_subnet.public : it.tags["kubernetes.io/role/elb"] == "1"])
    error_message = "the cluster finds its subnets by their tags"
  }
  assert {
    condition     = length(aws_route_table.database.route) == 0
    error_message = "databases have no way out"
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "the default security group lets nothing through"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(aws_route_table.private) == 3
    error_message = "a lost zone takes nobody else's way out"
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "S3 is reached for nothing; endpoints that cost are chosen"
  }
  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flow_logs.kms_key_id == var.kms_key_arn
    error_message = "who talked to whom is kept, encrypted"
  }
}

run "one_way_out_and_endpoints" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    nat_gateways        = "one"
    interface_endpoints = ["sns", "sqs", "ecr.api", "ecr.dkr"]
  }

  assert {
    condition     = keys(aws_nat_gateway.this) == ["eu-central-1a"] && toset([for it in aws_route_table.private : one(it.route).nat_gateway_id]) == toset([aws_nat_gateway.this["eu-central-1a"].id])
    error_message = "all zones go out through the one"
  }
  assert {
    condition     = aws_vpc_endpoint.interface["ecr.dkr"].service_name == "com.amazonaws.eu-central-1.ecr.dkr" && alltrue([for it in aws_vpc_endpoint.interface : it.private_dns_enabled && length(it.subnet_ids) >= 1])
    error_message = "services have their usual names inside the VPC"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints[0].cidr_ipv4 == "10.40.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints[0].from_port == 443
    error_message = "endpoints are reached from the VPC, by TLS"
  }
}

run "two_zones_are_refused" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b"]
  }
  expect_failures = [var.availability_zones]
}
