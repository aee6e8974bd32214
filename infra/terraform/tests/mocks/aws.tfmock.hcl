# Answers of AWS where a provider or a policy requires their form. Terraform invents the others.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws", dns_suffix = "amazonaws.com" }
}

mock_data "aws_region" {
  defaults = { name = "eu-central-1" }
}

mock_data "aws_default_tags" {
  defaults = { tags = { Project = "reminders" } }
}

mock_data "aws_eks_cluster" {
  defaults = {
    identity   = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }] }]
    vpc_config = [{ vpc_id = "vpc-00000000000000001", cluster_security_group_id = "sg-00000000000000001" }]
  }
}

mock_data "aws_iam_openid_connect_provider" {
  defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }
}

mock_data "aws_subnets" {
  defaults = { ids = ["subnet-00000000000000001", "subnet-00000000000000002", "subnet-00000000000000003"] }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000001"
    key_id = "00000000-0000-0000-0000-000000000001"
  }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/some-role" }
}

mock_resource "aws_iam_openid_connect_provider" {
  defaults = { arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:some-topic" }
}

mock_resource "aws_sqs_queue" {
  defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:some-queue" }
}

mock_resource "aws_sesv2_email_identity" {
  defaults = {
    arn                     = "arn:aws:ses:eu-central-1:123456789012:identity/example.com"
    dkim_signing_attributes = { tokens = ["one", "two", "three"] }
  }
}

mock_resource "aws_sesv2_configuration_set" {
  defaults = { arn = "arn:aws:ses:eu-central-1:123456789012:configuration-set/some-set" }
}

mock_resource "aws_ses_template" {
  defaults = { arn = "arn:aws:ses:eu-central-1:123456789012:template/some-template" }
}

mock_resource "aws_db_instance" {
  defaults = {
    arn     = "arn:aws:rds:eu-central-1:123456789012:db:some-database"
    address = "some-database.example.eu-central-1.rds.amazonaws.com"
  }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:some-secret-AbCdEf" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:some-group" }
}

mock_resource "aws_sfn_state_machine" {
  defaults = { arn = "arn:aws:states:eu-central-1:123456789012:stateMachine:some-machine" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::some-bucket" }
}

mock_resource "aws_ecr_repository" {
  defaults = {
    arn            = "arn:aws:ecr:eu-central-1:123456789012:repository/reminders/some-image"
    repository_url = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/reminders/some-image"
  }
}

mock_resource "aws_eks_cluster" {
  defaults = {
    arn        = "arn:aws:eks:eu-central-1:123456789012:cluster/some-cluster"
    identity   = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF" }] }]
    vpc_config = { cluster_security_group_id = "sg-00000000000000001" }
  }
}

mock_resource "aws_eks_node_group" {
  defaults = { resources = [{ autoscaling_groups = [{ name = "some-group" }] }] }
}

mock_resource "aws_launch_template" {
  defaults = { id = "lt-00000000000000001", latest_version = 1 }
}

mock_resource "aws_vpc" {
  defaults = { id = "vpc-00000000000000001" }
}

mock_resource "aws_eip" {
  defaults = { id = "eipalloc-00000000000000001", public_ip = "198.51.100.1" }
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-00000000000000002" }
}

mock_resource "aws_default_security_group" {
  defaults = { ingress = [], egress = [] }
}

mock_resource "aws_route_table" {
  defaults = { id = "rtb-00000000000000001", route = [] }
}

mock_resource "aws_nat_gateway" {
  defaults = { id = "nat-00000000000000001" }
}

mock_resource "aws_subnet" {
  defaults = { id = "subnet-00000000000000001" }
}

mock_resource "aws_db_instance_automated_backups_replication" {
  defaults = { id = "arn:aws:rds:eu-west-1:123456789012:auto-backup:ab-0123456789abcdef" }
}
