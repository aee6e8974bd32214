mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name            = "reminders-pipeline"
  repository      = "example/reminders"
  repository_arns = ["arn:aws:ecr:eu-central-1:123456789012:repository/reminders/event-service"]
  cluster_name    = "reminders"
  cluster_arn     = "arn:aws:eks:eu-central-1:123456789012:cluster/reminders"
}

run "roles" {
  command = plan
  module {
    source = "./modules/pipeline"
  }

  assert {
    condition     = keys(output.role_arns) == ["deploy-development", "deploy-production", "deploy-staging", "images"]
    error_message = "pushing images and deploying to each environment are roles of their own"
  }
  assert {
    condition     = jsondecode(aws_iam_role.this["deploy-production"].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/reminders:environment:production"]
    error_message = "production is deployed by jobs of GitHub's environment production, which people approve"
  }
  assert {
    condition     = alltrue([for role in aws_iam_role.this : !strcontains(role.assume_role_policy, "*")])
    error_message = "no pattern lets another repository or branch in"
  }
  assert {
    condition     = { for environment, it in aws_eks_access_policy_association.deploy : environment => one(it.access_scope[0].namespaces) if it.access_scope[0].type == "namespace" } == { development = "development", production = "production", staging = "staging" }
    error_message = "who deploys to an environment administers its namespace and no other"
  }
  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.images.policy).Statement : it.Sid if it.Resource == "*"] == ["LogIn"]
    error_message = "images are pushed to our repositories only"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.images.policy, "Delete")
    error_message = "a pipeline cannot take an image away"
  }
}
