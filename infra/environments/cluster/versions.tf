terraform {
  required_version = "~> 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Where the state is: `terraform init -backend-config=backend.hcl` (backend.hcl.example).
  backend "s3" {}
}

provider "aws" {
  region = var.region
  # Credentials of another account stop here.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = merge(var.tags, { Project = "reminders", Environment = "cluster", ManagedBy = "terraform" })
  }
}
