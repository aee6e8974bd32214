mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan

  override_resource {
    target = aws_sns_topic.this["event"]
    values = { arn = "arn:aws:sns:eu-central-1:123456789012:prod-event-topic" }
  }
  override_resource {
    target = aws_sns_topic.this["ses-feedback"]
    values = { arn = "arn:aws:sns:eu-central-1:123456789012:prod-ses-feedback-topic" }
  }
  override_resource {
    target = aws_sqs_queue.this["event"]
    values = { arn = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue" }
  }
  override_resource {
    target = aws_sqs_queue.dead_letters["event"]
    values = { arn = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue-dlq" }
  }
}

variables {
  prefix                 = "prod"
  kms_key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
  configuration_set_name = "prod-reminders"
  alarm_topic_arns       = ["arn:aws:sns:eu-central-1:123456789012:prod-alerts"]
}

run "topics_queues_policies_alarms" {
  command = plan
  module {
    source = "./modules/messaging"
  }

  assert {
    condition     = [for topic in aws_sns_topic.this : topic.name] == ["prod-event-topic", "prod-notification-topic", "prod-ses-feedback-topic"]
    error_message = "topics have the prefix and the contract's names"
  }
  assert {
    condition     = [for queue in aws_sqs_queue.this : queue.name] == ["prod-event-queue", "prod-notification-queue", "prod-ses-feedback-queue"]
    error_message = "queues have the prefix and the contract's names"
  }
  assert {
    condition     = alltrue([for name, queue in aws_sqs_queue.dead_letters : queue.name == "${aws_sqs_queue.this[name].name}-dlq"])
    error_message = "each queue's dead letters are named after it"
  }
  assert {
    condition = alltrue([
      for it in concat(values(aws_sns_topic.this), values(aws_sqs_queue.this), values(aws_sqs_queue.dead_letters)) : it.kms_master_key_id == var.kms_key_arn
    ])
    error_message = "everything is encrypted by the customer-managed key"
  }
  assert {
    condition = jsondecode(aws_sqs_queue.this["event"].redrive_policy) == {
      deadLetterTargetArn = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue-dlq"
      maxReceiveCount     = 5
    }
    error_message = "after five receipts a message goes to its queue's dead letters"
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.this["ses-feedback"].redrive_policy).maxReceiveCount == 10
    error_message = "feedback, which is given back on purpose, has receipts to spare"
  }
  assert {
    condition = jsondecode(aws_sqs_queue_redrive_allow_policy.this["event"].redrive_allow_policy) == {
      redrivePermission = "byQueue"
      sourceQueueArns   = ["arn:aws:sqs:eu-central-1:123456789012:prod-event-queue"]
    }
    error_message = "dead letters are of their own queue alone"
  }
  assert {
    condition     = alltrue([for name, queue in aws_sqs_queue.dead_letters : queue.message_retention_seconds == 1209600 && queue.message_retention_seconds > aws_sqs_queue.this[name].message_retention_seconds])
    error_message = "dead letters are kept for 14 days, longer than messages: SQS counts from when a message was first sent"
  }
  assert {
    condition     = alltrue([for it in aws_sns_topic_subscription.this : it.protocol == "sqs" && it.raw_message_delivery])
    error_message = "queues get messages as they were published"
  }
  assert {
    condition     = [for name, it in aws_sns_topic_subscription.this : name if it.filter_policy != null] == ["event"]
    error_message = "other queues get everything of their topic"
  }
  assert {
    condition = jsondecode(aws_sns_topic_subscription.this["event"].filter_policy) == {
      eventType = [
        { exists = false },
        { anything-but = ["notification:created", "notification:updated", "notification:deleted"] },
      ]
    }
    error_message = "event-service does not get the events that it publishes itself"
  }
  assert {
    condition     = jsondecode(aws_sns_topic_subscription.this["event"].redrive_policy).deadLetterTargetArn == "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue-dlq"
    error_message = "what SNS cannot deliver is kept with the dead letters"
  }
  assert {
    condition = alltrue([
      for policy in concat(values(aws_sqs_queue_policy.this), values(aws_sqs_queue_policy.dead_letters), values(aws_sns_topic_policy.this)) : length([
        for it in jsondecode(policy.policy).Statement : it if it.Effect == "Deny" && it.Condition == { Bool = { "aws:SecureTransport" = "false" } }
      ]) == 1
    ])
    error_message = "nothing is sent or read without TLS"
  }
  assert {
    condition = [for it in jsondecode(aws_sqs_queue_policy.this["event"].policy).Statement : it if it.Effect == "Allow"] == [{
      Sid       = "FromItsTopic"
      Effect    = "Allow"
      Principal = { Service = "sns.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:123456789012:prod-event-queue"
      Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:sns:eu-central-1:123456789012:prod-event-topic" } }
    }]
    error_message = "a queue takes messages of its topic and, IAM apart, of nobody else"
  }
  assert {
    condition     = [for it in jsondecode(aws_sns_topic_policy.this["event"].policy).Statement : it if it.Effect == "Allow"] == []
    error_message = "only IAM lets anybody publish to the event topic"
  }
  assert {
    condition = [for it in jsondecode(aws_sns_topic_policy.this["ses-feedback"].policy).Statement : it.Condition.StringEquals if it.Effect == "Allow"] == [{
      "aws:SourceAccount" = "123456789012"
      "aws:SourceArn"     = "arn:aws:ses:eu-central-1:123456789012:configuration-set/prod-reminders"
    }]
    error_message = "SES publishes feedback of our configuration set alone"
  }
  assert {
    condition = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.dead_letters :
      alarm.threshold == 0 && alarm.comparison_operator == "GreaterThanThreshold" && alarm.metric_name == "ApproximateNumberOfMessagesVisible"
      && alarm.dimensions.QueueName == "prod-${name}-queue-dlq"
    ])
    error_message = "the first dead letter is told"
  }
  assert {
    condition = alltrue([for name, alarm in aws_cloudwatch_metric_alarm.oldest_message :
      alarm.metric_name == "ApproximateAgeOfOldestMessage" && alarm.dimensions.QueueName == "prod-${name}-queue" && alarm.threshold > 0
    ])
    error_message = "a queue that falls behind is told"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.dead_letters) == 3 && length(aws_cloudwatch_metric_alarm.oldest_message) == 3 && length(aws_cloudwatch_metric_alarm.undelivered) == 3
    error_message = "no queue and no topic is left out"
  }
  assert {
    condition = alltrue([for alarm in concat(
      values(aws_cloudwatch_metric_alarm.dead_letters), values(aws_cloudwatch_metric_alarm.oldest_message), values(aws_cloudwatch_metric_alarm.undelivered)
    ) : toset(alarm.alarm_actions) == toset(var.alarm_topic_arns)])
    error_message = "alarms are told to the given topics"
  }
}

run "what_is_refused" {
  command = plan
  module {
    source = "./modules/messaging"
  }
  variables {
    max_receive_count = { event = 2 }
    prefix            = "Prod-"
  }
  expect_failures = [var.max_receive_count, var.prefix]
}
