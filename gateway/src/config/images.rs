use clap::Args;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Images")]
pub struct Images {
    /// Threads that decode and draw images, at low priority. Each may take 200 MB while it does. 0: half the cores, at most four.
    #[arg(long, env = "IMAGE_THREADS", default_value_t = 0, value_name = "NUMBER")]
    pub image_threads: usize,
}
