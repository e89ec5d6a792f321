<%@ page contentType="application/json" trimDirectiveWhitespaces="true" %>{"status": "ok", "maxHeap": <%= Runtime.getRuntime().maxMemory() >> 20 %>}
