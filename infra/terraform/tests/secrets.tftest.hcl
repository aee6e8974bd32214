mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  prefix            = "prod"
  namespace         = "production"
  oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
  values            = { sns-topics-secrets = { event_topic = "arn:one", notification_topic = "arn:two" } }
  other_secret_arns = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod-reminder-db-secrets-AbCdEf"]
}

run "secrets_and_reader" {
  command = plan
  module {
    source = "./modules/secrets"
  }

  assert {
    condition     = sort(output.names) == tolist(["prod-fcm-secrets", "prod-operator-secrets", "prod-sns-topics-secrets"])
    error_message = "secrets have the names of the Kubernetes Secrets that they feed"
  }
  assert {
    condition     = aws_secretsmanager_secret_version.known["sns-topics-secrets"].secret_string == jsonencode({ event_topic = "arn:one", notification_topic = "arn:two" })
    error_message = "they have their keys, too"
  }
  assert {
    condition     = keys(output.to_be_entered) == ["prod-fcm-secrets", "prod-operator-secrets"] && keys(aws_secretsmanager_secret_version.known) == ["sns-topics-secrets"]
    error_message = "what only people know is left to them: Terraform writes no value"
  }
  assert {
    condition     = alltrue([for it in concat(values(aws_secretsmanager_secret.known), values(aws_secretsmanager_secret.entered)) : it.kms_key_id == var.kms_key_arn])
    error_message = "all are encrypted by the customer-managed key"
  }
  assert {
    condition     = jsondecode(aws_iam_role.reader.assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub"] == "system:serviceaccount:production:prod-external-secrets"
    error_message = "the reader is the namespace's own service account"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.reader.policy, "*") && contains(jsondecode(aws_iam_role_policy.reader.policy).Statement[0].Resource, var.other_secret_arns[0])
    error_message = "it reads this environment's secrets, the database's too, each by its name"
  }
}
