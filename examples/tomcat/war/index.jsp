<%@ page contentType="text/html; charset=UTF-8" %>
<!doctype html>
<html lang="en">
  <title>Bakery</title>
  <h1>Bread of today</h1>
  <ul>
<% for (String bread : new String[] { "Rye loaf", "Wheat loaf", "Seed roll" }) { %>    <li><%= bread %></li>
<% } %>  </ul>
  <p>Java <%= System.getProperty("java.specification.version") %>, <%= application.getServerInfo() %></p>
</html>
