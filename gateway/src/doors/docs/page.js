// The page: Swagger UI, on the document of this server alone.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  // Who logs in stays so over a reload, in this browser.
  persistAuthorization: true,
  // Nobody else is asked what they think of the document.
  validatorUrl: null,
});
