<%@ page contentType="text/html; charset=UTF-8" %>
<!doctype html>
<html lang="en">
  <title>Baked</title>
  <h1>Baked, version {{version}}</h1>
  <p>Java <%= System.getProperty("java.version") %></p>
</html>
