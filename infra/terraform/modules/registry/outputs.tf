output "registry" {
  description = "Registry of the images: the part before `/<image>:<tag>` in the manifests."
  value       = "${split("/", values(aws_ecr_repository.this)[0].repository_url)[0]}/${var.namespace}"
}

output "repository_arns" {
  description = "ARNs of the repositories by image."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.arn }
}
