// The OpenAPI document of this service, to read and to try: "Authorize" takes an API key.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, tryItOutEnabled: true, validatorUrl: null });
