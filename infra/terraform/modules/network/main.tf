# A VPC over three availability zones with three kinds of subnets: public (load balancers, NAT),
# private (nodes and pods; outgoing through NAT) and database (VPC only).

locals {
  zones = { for place, zone in var.availability_zones : zone => place }

  # Of a /16: private /19 (8,190 addresses a zone, pods have one each), public and database /24.
  private  = { for zone, place in local.zones : zone => cidrsubnet(var.cidr, 3, place) }
  public   = { for zone, place in local.zones : zone => cidrsubnet(var.cidr, 8, 192 + place) }
  database = { for zone, place in local.zones : zone => cidrsubnet(var.cidr, 8, 208 + place) }

  nat_zones = var.nat_gateways == "one" ? [var.availability_zones[0]] : var.availability_zones
}

data "aws_region" "current" {}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# The default security group allows nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-default-closed" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = local.public

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = {
    Name                                        = "${var.name}-public-${each.key}"
    Tier                                        = "public"
    "kubernetes.io/cluster/${var.cluster_name}" = "shared"
    "kubernetes.io/role/elb"                    = "1"
  }
}

resource "aws_subnet" "private" {
  for_each = local.private

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = {
    Name                                        = "${var.name}-private-${each.key}"
    Tier                                        = "private"
    "kubernetes.io/cluster/${var.cluster_name}" = "shared"
    "kubernetes.io/role/internal-elb"           = "1"
    # By this tag Karpenter finds the subnets for nodes.
    "karpenter.sh/discovery" = var.cluster_name
  }
}

resource "aws_subnet" "database" {
  for_each = local.database

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  tags = {
    Name = "${var.name}-database-${each.key}"
    Tier = "database"
  }
}
