# Policies of topics and queues. The services' own rights are in the module iam.

locals {
  queues       = { for name in local.names : name => aws_sqs_queue.this[name].arn }
  dead_letters = { for name in local.names : name => aws_sqs_queue.dead_letters[name].arn }

  # A queue accepts messages from its topic, over TLS, and from principals that IAM allows.
  queue_policies = { for kind, arns in { this = local.queues, dead_letters = local.dead_letters } : kind => {
    for name, arn in arns : name => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "FromItsTopic"
          Effect    = "Allow"
          Principal = { Service = "sns.amazonaws.com" }
          Action    = "sqs:SendMessage"
          Resource  = arn
          Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.this[name].arn } }
        },
        {
          Sid       = "TlsOnly"
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:*"
          Resource  = arn
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ]
    })
  } }

  tls_only = { for name in local.names : name => {
    Sid       = "TlsOnly"
    Effect    = "Deny"
    Principal = "*"
    Action    = "sns:Publish"
    Resource  = aws_sns_topic.this[name].arn
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  } }

  feedback_of_ses = {
    Sid       = "FeedbackOfOurConfigurationSet"
    Effect    = "Allow"
    Principal = { Service = "ses.amazonaws.com" }
    Action    = "sns:Publish"
    Resource  = aws_sns_topic.this["ses-feedback"].arn
    Condition = {
      StringEquals = {
        "aws:SourceAccount" = data.aws_caller_identity.current.account_id
        "aws:SourceArn"     = local.configuration_set
      }
    }
  }
}

resource "aws_sns_topic_policy" "this" {
  for_each = local.names

  arn = aws_sns_topic.this[each.key].arn

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.tls_only[each.key]], each.key == "ses-feedback" ? [local.feedback_of_ses] : [])
  })
}

resource "aws_sqs_queue_policy" "this" {
  for_each = local.names

  queue_url = aws_sqs_queue.this[each.key].id
  policy    = local.queue_policies.this[each.key]
}

resource "aws_sqs_queue_policy" "dead_letters" {
  for_each = local.names

  queue_url = aws_sqs_queue.dead_letters[each.key].id
  policy    = local.queue_policies.dead_letters[each.key]
}
