terraform {
  required_version = "~> 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # scripts/terraform-local.sh says where the file is.
  backend "local" {}
}

# An emulator: one address for every service, no account, no real credentials.
provider "aws" {
  region     = var.region
  access_key = "test"
  secret_key = "test"
  insecure   = startswith(var.endpoint, "https://")

  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  s3_use_path_style           = true

  endpoints {
    cloudwatch = var.endpoint
    iam        = var.endpoint
    kms        = var.endpoint
    ses        = var.endpoint
    sesv2      = var.endpoint
    sns        = var.endpoint
    sqs        = var.endpoint
    sts        = var.endpoint
  }

  default_tags {
    tags = { Project = "reminders", Environment = "local", ManagedBy = "terraform" }
  }
}
