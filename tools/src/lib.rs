//! The MCP server: one file per tool, thin over the service.
