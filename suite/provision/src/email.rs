//! The sender and the stored template. No emulator reports the outcome of an e-mail, so nothing
//! publishes to the feedback topic.

use anyhow::Context as _;
use aws_sdk_ses::{error::ProvideErrorMetadata as _, types::Template};

use crate::Plan;

/// Verifies the sender, stores the template, and returns the template's name.
pub(crate) async fn create(ses: &aws_sdk_ses::Client, plan: &Plan) -> anyhow::Result<String> {
    let verified = ses.verify_email_identity().email_address(&plan.source_email).send().await;
    verified.context("verify the sender")?;
    let name = format!("{}reminder-template", plan.prefix);
    let template = Template::builder()
        .template_name(&name)
        .subject_part(include_str!("template/subject.txt").trim())
        .text_part(include_str!("template/body.txt"))
        .html_part(include_str!("template/body.html"))
        .build()?;
    store(ses, template).await.context("the template")?;
    Ok(name)
}

async fn store(ses: &aws_sdk_ses::Client, template: Template) -> anyhow::Result<()> {
    match ses.create_template().template(template.clone()).send().await {
        Ok(_) => Ok(()),
        // Some emulators add the suffix `Exception`.
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.trim_end_matches("Exception") == "AlreadyExists") =>
        {
            ses.update_template().template(template).send().await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
