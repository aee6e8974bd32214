mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  prefix            = "prod"
  namespace         = "production"
  oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
  topic_arns = {
    event        = "arn:aws:sns:eu-central-1:123456789012:prod-event-topic"
    notification = "arn:aws:sns:eu-central-1:123456789012:prod-notification-topic"
  }
  queue_arns = {
    event        = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue"
    notification = "arn:aws:sqs:eu-central-1:123456789012:prod-notification-queue"
    ses-feedback = "arn:aws:sqs:eu-central-1:123456789012:prod-ses-feedback-queue"
  }
  dead_letter_queue_arns = {
    event        = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue-dlq"
    notification = "arn:aws:sqs:eu-central-1:123456789012:prod-notification-queue-dlq"
    ses-feedback = "arn:aws:sqs:eu-central-1:123456789012:prod-ses-feedback-queue-dlq"
  }
  messages_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
  sending_arns     = ["arn:aws:ses:eu-central-1:123456789012:identity/mail.example.com"]
  source_address   = "reminders@mail.example.com"
}

run "roles" {
  command = plan
  module {
    source = "./modules/iam"
  }

  assert {
    condition     = keys(output.role_arns) == ["event-service", "notification-scheduler", "notification-service", "reminder-service"]
    error_message = "each service has a role"
  }
  assert {
    condition = alltrue([for service, role in aws_iam_role.this : jsondecode(role.assume_role_policy).Statement == [{
      Sid       = "ItsServiceAccount"
      Effect    = "Allow"
      Principal = { Federated = var.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = {
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:aud" = "sts.amazonaws.com"
        "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub" = "system:serviceaccount:production:prod-${service}"
      } }
    }]])
    error_message = "a role is its service account's, in its namespace, and nobody else's"
  }
  assert {
    condition     = alltrue(flatten([for it in aws_iam_role_policy.this : [for statement in jsondecode(it.policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]]]))
    error_message = "no action is a pattern"
  }
  assert {
    condition = toset(flatten([for it in aws_iam_role_policy.this : [for statement in jsondecode(it.policy).Statement : [
      for resource in flatten([statement.Resource]) : statement.Action if strcontains(resource, "*")
    ]]])) == toset(["ses:GetSendQuota", "ses:GetTemplate"])
    error_message = "only calls that know no resource are allowed on every resource"
  }
  assert {
    condition     = alltrue([for it in aws_iam_role_policy.this : length(distinct([for statement in jsondecode(it.policy).Statement : statement.Sid])) == length(jsondecode(it.policy).Statement)])
    error_message = "each statement has a name of its own"
  }
  assert {
    condition = alltrue(flatten([for it in aws_iam_role_policy.this : [for statement in jsondecode(it.policy).Statement :
      alltrue([for via in flatten([statement.Condition.StringEquals["kms:ViaService"]]) : contains(["sns.eu-central-1.amazonaws.com", "sqs.eu-central-1.amazonaws.com"], via)])
      if startswith(flatten([statement.Action])[0], "kms:")
    ]]))
    error_message = "the key is used by way of SNS and SQS only"
  }
  assert {
    condition = jsonencode({ for service, it in aws_iam_role_policy.this : service => sort(distinct(flatten([
      for statement in jsondecode(it.policy).Statement : [for action in flatten([statement.Action]) : [for resource in flatten([statement.Resource]) : "${action} ${resource}"] if startswith(action, "sns:Publish")]
      ]))) }) == jsonencode({
      reminder-service       = ["sns:Publish ${var.topic_arns.event}"]
      event-service          = ["sns:Publish ${var.topic_arns.event}"]
      notification-scheduler = ["sns:Publish ${var.topic_arns.notification}"]
      notification-service   = ["sns:Publish ${var.topic_arns.event}"]
    })
    error_message = "each service publishes to its one topic"
  }
  assert {
    condition = jsonencode({ for service, it in aws_iam_role_policy.this : service => sort(distinct(flatten([
      for statement in jsondecode(it.policy).Statement : flatten([statement.Resource]) if contains(flatten([statement.Action]), "sqs:ReceiveMessage")
      ]))) }) == jsonencode({
      reminder-service       = []
      event-service          = sort(concat([var.queue_arns.event], values(var.dead_letter_queue_arns)))
      notification-scheduler = []
      notification-service   = sort([var.queue_arns.notification, var.queue_arns.ses-feedback])
    })
    error_message = "a queue is read by its consumer; dead letters by event-service, which shows and redrives them"
  }
  assert {
    condition = jsonencode({ for service, it in aws_iam_role_policy.this : service => sort(distinct(flatten([
      for statement in jsondecode(it.policy).Statement : flatten([statement.Resource]) if contains(flatten([statement.Action]), "sqs:SendMessage")
      ]))) }) == jsonencode({
      reminder-service       = []
      event-service          = sort(concat([var.dead_letter_queue_arns.event], values(var.queue_arns)))
      notification-scheduler = []
      notification-service   = sort([var.dead_letter_queue_arns.notification, var.dead_letter_queue_arns.ses-feedback])
    })
    error_message = "dead letters are written by the queue's consumer, and put back by event-service"
  }
  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this["notification-service"].policy).Statement : statement.Condition if contains(flatten([statement.Action]), "ses:SendRawEmail")] == [
      { StringEquals = { "ses:FromAddress" = "reminders@mail.example.com" } }
    ]
    error_message = "e-mail is sent from the one address"
  }
  assert {
    condition     = !anytrue([for service, it in aws_iam_role_policy.this : strcontains(it.policy, "ses:") if service != "notification-service"])
    error_message = "only notification-service sends e-mail"
  }
}

run "a_namespace_for_all_is_refused" {
  command = plan
  module {
    source = "./modules/iam"
  }
  variables {
    namespace = "*"
  }
  expect_failures = [var.namespace]
}
