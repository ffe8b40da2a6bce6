//! Where the dashboard's status comes from: the control services of the node on a data folder.

use neuro_network::control::ControlClient;
use neuro_node::data_dir::DataDir;
use neuro_protocol::control::Status;

/// Asks the node, and connects again when it was away.
pub struct Source {
    data_dir: DataDir,
    client: Option<ControlClient>,
}

impl Source {
    /// The node that runs on `data_dir`.
    pub const fn new(data_dir: DataDir) -> Self {
        Self { data_dir, client: None }
    }

    /// The node's status, or why there is none.
    pub async fn read(&mut self) -> Result<Status, String> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.connect().await?,
        };
        let status = client.status().await.map_err(|error| error.to_string())?;
        self.client = Some(client);
        Ok(status)
    }

    async fn connect(&self) -> Result<ControlClient, String> {
        let folder = self.data_dir.path().display();
        let running = self.data_dir.running().map_err(|error| error.to_string())?;
        let running = running.ok_or_else(|| format!("no node runs on {folder}"))?;
        let control =
            running.control.ok_or_else(|| format!("the node on {folder} is a worker; watch its orchestrator"))?;
        let key = self.data_dir.node_key().map_err(|error| error.to_string())?;
        let client = ControlClient::connect_tls(&control, &key, key.node_id()).await;
        client.map_err(|error| format!("the node at {control} does not answer: {error}"))
    }
}
