terraform {
  required_version = "~> 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # The place of the state: `terraform init -backend-config=backend.hcl` (backend.hcl.example).
  backend "s3" {}
}

provider "aws" {
  region = var.region
  # Refuses credentials of another account.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = local.tags
  }
}
