"use strict";

// Everything comes from the gateway itself: no validator badge, no settings from the page's query string, no top bar that takes URLs.
// Credentials typed into "Authorize" are forgotten with the page.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  queryConfigEnabled: false,
  persistAuthorization: false,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
});
