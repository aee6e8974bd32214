mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

run "repositories" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    kept = { prod = 40 }
  }

  assert {
    condition = [for repository in aws_ecr_repository.this : repository.name] == [
      "reminders/event-service", "reminders/notification-scheduler", "reminders/notification-service", "reminders/reminder-service",
      "reminders/sandbox", "reminders/suite",
    ]
    error_message = "each image has a repository"
  }
  assert {
    condition     = alltrue([for it in aws_ecr_repository.this : it.image_tag_mutability == "IMMUTABLE" && it.image_scanning_configuration[0].scan_on_push && !it.force_delete])
    error_message = "tags never move, images are scanned, and repositories are not destroyed with images in them"
  }
  assert {
    condition     = output.registry == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/reminders"
    error_message = "the registry is what stands before /image:tag"
  }
  assert {
    condition = jsonencode([for rule in jsondecode(aws_ecr_lifecycle_policy.this["event-service"].policy).rules : [
      rule.rulePriority, try(rule.selection.tagPatternList[0], rule.selection.tagStatus), rule.selection.countNumber
    ]]) == jsonencode([[1, "*-prod", 40], [2, "*-stg", 30], [3, "*-dev", 30], [9, "*", 60], [10, "untagged", 7]])
    error_message = "production's rule comes first: an image with a production tag never goes because its development tag is old"
  }
}
