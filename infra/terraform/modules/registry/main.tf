# A repository for each image. Tags never move: a version is built once, and promoted by giving the
# same digest the next environment's tag.

resource "aws_ecr_repository" "this" {
  for_each = var.images

  name                 = "${var.namespace}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

# In ECR no rule expires an image that a rule of higher priority matches. Production comes first, so
# an image with a production tag is never expired because of an old development tag.
resource "aws_ecr_lifecycle_policy" "this" {
  for_each = var.images

  repository = aws_ecr_repository.this[each.key].name

  policy = jsonencode({
    rules = concat(
      [for place, suffix in ["prod", "stg", "dev"] : {
        rulePriority = place + 1
        description  = "the newest ${var.kept[suffix]} of *-${suffix}"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*-${suffix}"]
          countType      = "imageCountMoreThan"
          countNumber    = var.kept[suffix]
        }
        action = { type = "expire" }
      }],
      [{
        rulePriority = 9
        description  = "other environments' for ${var.others_kept_days} days"
        selection = {
          tagStatus      = "tagged"
          tagPatternList = ["*"]
          countType      = "sinceImagePushed"
          countUnit      = "days"
          countNumber    = var.others_kept_days
        }
        action = { type = "expire" }
      }],
      [{
        rulePriority = 10
        description  = "what no tag names any more"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = 7
        }
        action = { type = "expire" }
      }],
    )
  })
}
